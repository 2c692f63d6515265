//go:build rehearsal

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// resources is what the gateway holds of the system.
type resources struct{ descriptors, residentKB int }

func (s *gatewaySoak) resources() (r resources) {
	s.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.gateway.Process.Pid)
	open, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.Fatal(err)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		s.Fatal(err)
	}
	if found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status); found != nil {
		r.residentKB, _ = strconv.Atoi(string(found[1]))
	}
	r.descriptors = len(open)
	return r
}

// settled compares the gateway after the load with one that never had any.
func (s *gatewaySoak) settled(started resources) {
	const margin = 8 // idle connections to the issuer, and what the runtime keeps
	eventually(s.T, 10*time.Second, "descriptors are closed", func() bool { return s.resources().descriptors <= started.descriptors+margin })
	ended := s.resources()
	early, late := s.heap(20, 45), s.heap(65, 90)
	loaded := s.goroutines(s.gateway)
	s.Logf("descriptors %d, then %d; resident memory %d KiB, then %d KiB", started.descriptors, ended.descriptors, started.residentKB, ended.residentKB)
	s.Logf("live heap from 20 s to 45 s: %d MiB, from 65 s to 90 s: %d MiB (medians)", early, late)
	s.write(0) // the last one may be broken
	fresh := s.startGateway("http://127.0.0.1:1")
	if status, _ := call(s.T, "GET", fresh.url+"/readyz", "", ""); status != 200 {
		s.Errorf("/readyz of another gateway: %d", status)
	}
	idle := s.goroutines(fresh)
	s.Logf("goroutines of a gateway without load %d, after the load %d", len(idle), len(loaded))
	if len(loaded) > len(idle)+margin {
		s.Errorf("goroutines are left over:\n%s", strings.Join(loaded, "\n\n"))
	}
	if late > early+max(4, early/4) {
		s.Errorf("the live heap grows from %d MiB to %d MiB", early, late)
	}
}

// collection is a line of gctrace: the time since the start, and the live heap in MiB.
var collection = regexp.MustCompile(`(?m)^gc \d+ @([\d.]+)s .* \d+->\d+->(\d+) MB`)

// heap returns the median of the live heap in MiB, from the collections between two times.
func (s *gatewaySoak) heap(from, to float64) int {
	s.Helper()
	var live []int
	for _, match := range collection.FindAllStringSubmatch(s.gateway.said(), -1) {
		at, err1 := strconv.ParseFloat(match[1], 64)
		size, err2 := strconv.Atoi(match[2])
		if err1 == nil && err2 == nil && at >= from && at < to {
			live = append(live, size)
		}
	}
	if len(live) < 10 {
		s.Fatalf("%d collections from %v s to %v s", len(live), from, to)
	}
	slices.Sort(live)
	return live[len(live)/2]
}

// goroutines ends a process by SIGQUIT, which prints them.
func (s *gatewaySoak) goroutines(p *process) []string {
	s.Helper()
	if err := p.Process.Signal(syscall.SIGQUIT); err != nil {
		s.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		s.Fatal("SIGQUIT does not end the process")
	}
	var found []string
	_, dump, _ := strings.Cut(p.said(), "SIGQUIT: quit")
	for _, stack := range strings.Split(dump, "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") {
			found = append(found, stack)
		}
	}
	if len(found) < 5 {
		s.Fatalf("%d goroutines are printed", len(found))
	}
	return found
}
