package infra

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

func (s Servers) maildev() (supervise.Process, error) {
	program, err := exec.LookPath("node")
	most, memory := 2_000, 128 // MB
	if s.Proxied {
		most, memory = 20_000, 512 // make chaos looks for each
	}
	return supervise.Process{
		Dir: filepath.Join(s.Data, "maildev"), Env: stack.Environment(),
		Args: []string{
			program, "--max-old-space-size=" + strconv.Itoa(memory), s.Installer().Maildev(),
			"--smtp", strconv.Itoa(s.Port(stack.PortSMTP)), "--ip", "127.0.0.1",
			"--web", strconv.Itoa(s.Port(stack.PortMaildev)), "--web-ip", "127.0.0.1",
			"--mail-directory", filepath.Join(s.Data, "maildev"), "--max-emails", strconv.Itoa(most),
			"--silent", // it would log every recipient
		},
		Patience: 3 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortMaildev),
	}, err
}
