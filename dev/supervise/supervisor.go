package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
)

// supervisor starts processes, starts them again when they exit, and stops
// them. It serves its commands on a socket and writes the state file.
type supervisor struct {
	run  string
	log  *slog.Logger
	mu   sync.Mutex
	kept map[string]*keeper
	file sync.Mutex // serialises writing the state file
}

// keeper keeps one process running.
type keeper struct {
	spec   Process
	cancel func(kill bool)
	done   chan struct{}

	mu  sync.Mutex // guards spec and rec
	rec Record
}

func (k *keeper) process() Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spec
}

// Serve is the supervisor: it runs until it is told to end, by its socket or
// by SIGTERM; then it stops everything that it started. In the folder run it
// keeps state.json, logs/<process>.log and pids/<process>.pid. Logs are
// patterns of further files to be kept from growing without end. What it does
// goes to standard output.
func Serve(run, socket string, logs ...string) error {
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(run, "pids"), 0o755); err != nil {
		return err
	}
	s := &supervisor{run: run, log: log, kept: map[string]*keeper{}}
	s.save()
	over := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(over) }) }

	mux := http.NewServeMux()
	mux.HandleFunc("PUT /processes/{name}", s.ensure)
	mux.HandleFunc("PATCH /processes/{name}", s.adopt)
	mux.HandleFunc("DELETE /processes/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.stop(r.PathValue("name"), r.URL.Query().Has("kill"))
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, r *http.Request) {
		s.down(func(line string) {
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		})
		end()
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	log.Info("the supervisor is up", "pid", os.Getpid())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	tick := time.NewTicker(time.Minute)
	for {
		select {
		case <-tick.C:
			s.trimLogs(append([]string{s.logFile("*")}, logs...)...)
			continue
		case sig := <-signals:
			log.Info("stopping everything", "signal", sig.String())
			s.down(func(line string) { log.Info(line) })
		case <-over:
		}
		break
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)
	os.Remove(filepath.Join(run, "state.json"))
	log.Info("the supervisor is down")
	return nil
}

// errKill is why a process ends that is to be killed.
var errKill = errors.New("killed")

// ensure makes a process run as the request says: it starts one that is not
// kept yet, starts again one that would run differently, and leaves the rest
// alone. It answers "started", "restarted" or "".
func (s *supervisor) ensure(w http.ResponseWriter, r *http.Request) {
	var p Process
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	k := s.kept[p.Name]
	s.mu.Unlock()
	answer := "started"
	if k == nil {
		// What went wrong in an earlier run is not this one's.
		_ = os.Rename(s.logFile(p.Name), s.logFile(p.Name)+".1")
	} else {
		k.mu.Lock()
		same := k.rec.Digest == p.digest() && k.rec.PID != 0
		k.mu.Unlock()
		if same {
			return
		}
		answer = "restarted"
		s.stop(p.Name, false)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := func(kill bool) {
		if kill {
			cancel(errKill)
		} else {
			cancel(nil)
		}
	}
	k = &keeper{spec: p, cancel: stop, done: make(chan struct{}), rec: Record{
		Name: p.Name, Stage: p.Stage, Health: p.Health, Patience: int(p.Patience.Seconds()), Digest: p.digest(),
	}}
	started := make(chan error, 1)
	s.mu.Lock()
	s.kept[p.Name] = k
	s.mu.Unlock()
	go s.keep(ctx, k, started)
	if err := <-started; err != nil {
		s.stop(p.Name, false)
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	_, _ = io.WriteString(w, answer)
}

// adopt takes the request for what a process that is kept runs as: it has been told already what is different. When it is
// started again, it is as the request says.
func (s *supervisor) adopt(w http.ResponseWriter, r *http.Request) {
	var p Process
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	k := s.kept[p.Name]
	s.mu.Unlock()
	if k == nil {
		http.Error(w, p.Name+" does not run", http.StatusNotFound)
		return
	}
	k.mu.Lock()
	k.spec, k.rec.Digest = p, p.digest()
	k.mu.Unlock()
	s.save()
}

// keep runs one process again and again until ctx ends. What exits within half
// a minute of its start waits longer and longer, up to 5 s.
func (s *supervisor) keep(ctx context.Context, k *keeper, started chan<- error) {
	defer close(k.done)
	wait := 250 * time.Millisecond
	for {
		cmd, err := s.start(k)
		if started != nil {
			started <- err
			started = nil
			if err != nil {
				return
			}
		}
		began := time.Now()
		exit := ""
		if err != nil {
			exit = err.Error()
		} else {
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				exit = "exit status 0"
				if err != nil {
					exit = err.Error()
				}
			case <-ctx.Done():
				p := k.process()
				patience := p.Patience
				if context.Cause(ctx) == errKill {
					patience = 0
				}
				end(cmd.Process.Pid, p.Signal, patience, ended)
			}
			// What a process leaves behind must not hold its port against the next one.
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		k.mu.Lock()
		k.rec.PID, k.rec.Birth, k.rec.Since, k.rec.Exit = 0, 0, time.Now(), exit
		if ctx.Err() == nil {
			k.rec.Restarts++
		}
		k.mu.Unlock()
		s.save()
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 30*time.Second {
			wait = 250 * time.Millisecond
		}
		s.log.Warn("exited, starting it again", "process", k.process().Name, "after", time.Since(began).Round(time.Millisecond).String(),
			"exit", exit, "in", wait.String())
		if !pause.For(ctx, wait) {
			return
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// start runs the process once, with its output added to its log.
func (s *supervisor) start(k *keeper) (*exec.Cmd, error) {
	p := k.process()
	log, err := os.OpenFile(s.logFile(p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.Dir, p.Env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.User != "" {
		if cmd.SysProcAttr.Credential, err = Credential(p.User); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.rec.PID, k.rec.Birth, k.rec.Since = cmd.Process.Pid, birth(cmd.Process.Pid), time.Now()
	k.mu.Unlock()
	s.save()
	return cmd, nil
}

// end asks a process to stop and kills it, with what it started, when it does
// not within its patience.
func end(pid int, sig syscall.Signal, patience time.Duration, ended <-chan error) {
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	if patience > 0 {
		syscall.Kill(pid, sig)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		syscall.Kill(-pid, syscall.SIGKILL)
		<-ended
	}
}

// stop ends a process and forgets it; kill leaves it no time to end well.
func (s *supervisor) stop(name string, kill bool) {
	s.mu.Lock()
	k := s.kept[name]
	s.mu.Unlock()
	if k == nil {
		return
	}
	k.cancel(kill)
	<-k.done
	s.mu.Lock()
	if s.kept[name] == k {
		delete(s.kept, name)
	}
	s.mu.Unlock()
	s.save()
	os.Remove(s.pidFile(name))
}

// down stops everything, stage by stage, and says so.
func (s *supervisor) down(say func(line string)) {
	for {
		names := s.highest()
		if len(names) == 0 {
			return
		}
		began := time.Now()
		var all sync.WaitGroup
		for _, name := range names {
			all.Go(func() { s.stop(name, false) })
		}
		all.Wait()
		say(fmt.Sprintf("stopped %s in %.1f s", list(names), time.Since(began).Seconds()))
	}
}

// highest returns the names of the highest stage that has processes.
func (s *supervisor) highest() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	top := math.MinInt
	for name, k := range s.kept {
		stage := k.process().Stage
		if stage > top {
			top, names = stage, nil
		}
		if stage == top {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *supervisor) logFile(name string) string { return filepath.Join(s.run, "logs", name+".log") }
func (s *supervisor) pidFile(name string) string { return filepath.Join(s.run, "pids", name+".pid") }

// save writes the state file and the pid files.
func (s *supervisor) save() {
	s.file.Lock()
	defer s.file.Unlock()
	st := State{PID: os.Getpid(), Birth: birth(os.Getpid()), Processes: []Record{}}
	s.mu.Lock()
	for _, k := range s.kept {
		k.mu.Lock()
		st.Processes = append(st.Processes, k.rec)
		k.mu.Unlock()
	}
	s.mu.Unlock()
	slices.SortFunc(st.Processes, func(a, b Record) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	text, err := json.MarshalIndent(st, "", "  ")
	if err == nil {
		err = replaceFile(filepath.Join(s.run, "state.json"), string(text)+"\n")
	}
	for _, r := range st.Processes {
		if err == nil && r.PID != 0 {
			err = replaceFile(s.pidFile(r.Name), strconv.Itoa(r.PID)+"\n")
		}
	}
	if err != nil {
		s.log.Error("the state could not be written", "error", err)
	}
}

// replaceFile writes a file in one step: who reads it meets the old or the new.
func replaceFile(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// trimLogs keeps the logs of a stack that runs for long from filling the disk:
// one over 50 MB becomes <name>.log.1 and begins again. Copied, not renamed,
// since the process goes on writing to the file that it has open.
func (s *supervisor) trimLogs(patterns ...string) {
	const most = 50 << 20
	var logs []string
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern)
		logs = append(logs, found...)
	}
	for _, name := range logs {
		info, err := os.Stat(name)
		if err != nil || info.Size() < most {
			continue
		}
		if err := copyFile(name, name+".1"); err != nil {
			s.log.Error("a log could not be kept", "log", name, "error", err)
		}
		if err := os.Truncate(name, 0); err != nil {
			s.log.Error("a log could not be shortened", "log", name, "error", err)
		}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
