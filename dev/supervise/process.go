package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// Process is one program to keep running.
type Process struct {
	Name     string         // also of its log and its pid file
	Args     []string       // the program and its arguments
	Dir      string         // where it runs
	Env      []string       // KEY=value, all of it: nothing is inherited
	User     string         // "" is the supervisor's own user
	Signal   syscall.Signal // asks it to stop; 0 is SIGTERM
	Patience time.Duration  // how long it may take to stop before it is killed
	Stage    int            // Down stops the highest stage first
	Health   string         // a URL that answers 2xx, or tcp:ADDRESS
	Stamp    string         // changes with the files that it reads at its start, see Digest
}

// digest changes when the process would run differently.
func (p Process) digest() string {
	text, _ := json.Marshal(p)
	return Digest(string(text))
}

// Digest is a short name for a text: 8 hexadecimal digits.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:8]
}

// Names are those of processes.
func Names(processes []Process) []string {
	names := make([]string, 0, len(processes))
	for _, p := range processes {
		names = append(names, p.Name)
	}
	return names
}

// Credential is what a process needs to run as another user. The error is
// user.UnknownUserError when there is no such user.
func Credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
