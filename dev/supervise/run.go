package supervise

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Failure is an error with something to read below its one line, such as the
// end of a log.
type Failure struct {
	Line  string
	Lines []string
}

func (e *Failure) Error() string { return e.Line }

// Detail is what there is to read below the line.
func (e *Failure) Detail() []string { return e.Lines }

// Run runs a program to its end with its output in logFile. When it fails,
// the error is a *Failure with the last lines of that file.
func Run(ctx context.Context, logFile string, cmd *exec.Cmd) error {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Failure{
			Line:  fmt.Sprintf("%s failed (%v); all of its output is in %s", filepath.Base(cmd.Path), err, logFile),
			Lines: Tail(logFile, 15),
		}
	}
	return nil
}

// Tail returns the last n lines of a file, without the blank ones; nothing
// when it cannot be read.
func Tail(file string, n int) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, " \r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}
