//go:build !nosqlite

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

// scratch is removed after all tests.
var scratch []string

var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "m2m-examples")
	if err != nil {
		return "", err
	}
	scratch = append(scratch, dir)
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+"/", ".", "./api", "./issuer", "./clients", "./caller", "./gateway", "./testdata/sqlite", "./testdata/proxy")
	if out, err := build.CombinedOutput(); err != nil {
		return string(out), err
	}
	return dir, nil
})

// TestMain runs four tests at a time, also on two cores: they mostly wait for
// processes.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, dir := range scratch {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// process is one of the examples, running.
type process struct {
	*exec.Cmd
	url    string
	mu     sync.Mutex
	output strings.Builder
	done   chan struct{}
}

// start runs an example and waits until it answers. Without ADDR in env it
// listens on a free port.
func start(t *testing.T, name string, env ...string) *process {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatalf("building the examples: %v\n%s", err, dir)
	}
	return startBinary(t, filepath.Join(dir, name), env...)
}

// startBinary is start for a binary that a test has built.
func startBinary(t *testing.T, name string, env ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(name), done: make(chan struct{})}
	p.Env = append([]string{"ADDR=" + loopback() + ":0", "SHUTDOWN_DELAY=0s", "PATH=" + os.Getenv("PATH")}, env...)
	p.Dir = t.TempDir()
	pipe, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stderr = p.Stdout
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			p.mu.Lock()
			p.output.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			if _, address, ok := strings.Cut(lines.Text(), "listening on "); ok {
				listening <- address
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		_ = p.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.said())
		}
	})
	select {
	case address := <-listening:
		p.url = "http://" + address
	case <-p.done:
		t.Fatalf("%s ended at once:\n%s", name, p.said())
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s does not listen:\n%s", name, p.said())
	}
	return p
}

// loopback returns a host of this machine that no other test uses. So a process that is
// started again finds its port free: on 127.0.0.1 another one, or a client's connection,
// may have it meanwhile.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1" // the others need each address to be configured
	}
	return fmt.Sprintf("127.%d.%d.%d", 100+rand.IntN(100), rand.IntN(256), 1+rand.IntN(254))
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// stop sends SIGTERM and expects a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatal("the process ignores SIGTERM")
	}
	if err := p.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func (p *process) token(t *testing.T, id, secret string) string {
	t.Helper()
	status, body := post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("token for %q: %d %s", id, status, body)
	}
	return answer.Token
}

// grants reports whether the client gets a token.
func (p *process) grants(t *testing.T, id, secret string) bool {
	t.Helper()
	status, _ := post(t, p.url+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	return status == http.StatusOK
}

// says waits until the process has printed the text.
func (p *process) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, 30*time.Second, "the process says: "+text, func() bool { return strings.Contains(p.said(), text) })
}

func post(t *testing.T, url string, form url.Values) (int, string) {
	t.Helper()
	r, err := http.PostForm(url, form)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, r)
}

func call(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer)
}

func read(t *testing.T, r *http.Response) (int, string) {
	t.Helper()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// generated returns a secret as the issuer makes them.
func generated() string {
	plain, _ := registry.GenerateSecret()
	return plain
}

func closed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
