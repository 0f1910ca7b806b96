package supervise

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// birth returns when a process was started, in clock ticks since the machine
// was, so that a pid that is used again is not taken for the old process. It
// is 0 when there is no such process, or only its zombie.
func birth(pid int) uint64 {
	st, ok := readStat(pid)
	if !ok || st.state == "Z" {
		return 0
	}
	return st.start
}

// stat is the part of /proc/<pid>/stat that is used here.
type stat struct {
	state  string
	parent int
	start  uint64 // clock ticks after the machine's start
	used   uint64 // clock ticks on a processor, with those of children that have ended
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(string(text))
}

// parseStat reads what follows the program's name, which may itself hold
// blanks and brackets.
func parseStat(text string) (stat, bool) {
	_, after, found := cutLast(text, ")")
	fields := strings.Fields(after)
	if !found || len(fields) < 20 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	var used uint64
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, _ := strconv.ParseUint(field, 10, 64)
		used += ticks
	}
	return stat{state: fields[0], parent: parent, start: start, used: used}, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// children returns the children of every process of this machine.
func children() map[int][]int {
	tree := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if st, ok := readStat(pid); ok {
			tree[st.parent] = append(tree[st.parent], pid)
		}
	}
	return tree
}

// tick is a clock tick of /proc, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processor returns the time that a process and all below it have had on a
// processor, with what has ended among them.
func processor(pid int, tree map[int][]int) time.Duration {
	st, _ := readStat(pid)
	total := time.Duration(st.used) * tick
	for _, child := range tree[pid] {
		total += processor(child, tree)
	}
	return total
}

// memory returns the resident bytes of a process and all below it. Pages that
// several processes share count once (proportional set size), or PostgreSQL's
// buffers and the sidecars' common program would count many times.
func memory(pid int, tree map[int][]int) int64 {
	total := pss(pid)
	for _, child := range tree[pid] {
		total += memory(child, tree)
	}
	return total
}

func pss(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
