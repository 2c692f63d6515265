//go:build rehearsal

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestGatewayWrk prints what wrk and the system say of example/gateway, and of Echo's own
// Proxy alone, in turn, before the same upstream. Nothing is compared: the machine is not
// idle. All answers must be 200.
//
//	go test -tags rehearsal -run TestGatewayWrk -v ./example
func TestGatewayWrk(t *testing.T) {
	listener, err := net.Listen("tcp", loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "an order") })}
	go upstream.Serve(listener)
	t.Cleanup(func() { upstream.Close() })
	setting := "UPSTREAM_ORDERS=http://" + listener.Addr().String()

	proxy := start(t, "proxy", setting)
	gateway, token, _ := startGateway(t, setting)
	requests := regexp.MustCompile(`(\d+) requests in`)
	for round := range 3 {
		for name, p := range map[string]*process{"Echo's Proxy": proxy, "example/gateway": gateway} {
			before := ticks(t, p)
			out, err := exec.Command("wrk", "-t1", "-c16", "-d4s", "-H", "Authorization: Bearer "+token, p.url+"/orders/1").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			found := requests.FindSubmatch(out)
			if found == nil || strings.Contains(string(out), "Non-2xx") {
				t.Fatalf("%s", out)
			}
			count, err := strconv.Atoi(string(found[1]))
			if err != nil || count == 0 {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("round %d: %-15s %6d requests in 4 s, %d µs of CPU for one", round+1, name, count, (ticks(t, p)-before)*10_000/count)
		}
	}
}

// ticks returns the CPU time of a process, in hundredths of a second.
func ticks(t *testing.T, p *process) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name of the program is in brackets
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return user + system
}
