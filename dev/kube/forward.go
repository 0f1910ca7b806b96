package kube

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stampede-shop/stampede/kit/pause"
)

// Forward listens on this machine's loopback for what is inside the node: pairs are LISTEN=TARGET, each a host:port. What
// comes while the node is away is hung up on.
func Forward(ctx context.Context, state string, pairs []string) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, pair := range pairs {
		at, target, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not LISTEN=TARGET", pair)
		}
		listener, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { listener.Close() })
		all.Go(func() {
			for {
				conn, err := listener.Accept()
				if err == nil {
					go pass(ctx, state, conn, target)
				} else if !pause.For(ctx, 100*time.Millisecond) { // it is over; else there may be too many files
					return
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}

// pass connects one that has come with what it asks for.
func pass(ctx context.Context, state string, conn net.Conn, target string) {
	defer conn.Close()
	inside, err := dial(ctx, state, target)
	if err != nil {
		slog.Warn("nothing inside", "target", target, "error", err)
		return
	}
	defer inside.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, inside}, {inside, conn}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // whichever end breaks, the other one is told
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

// dial connects to an address of the node's network: a socket belongs to the network of the thread that makes it.
func dial(ctx context.Context, state, target string) (conn net.Conn, err error) {
	pid, err := os.ReadFile(filepath.Join(state, "init.pid"))
	if err != nil {
		return nil, err
	}
	network, err := os.Open("/proc/" + strings.TrimSpace(string(pid)) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer network.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", target)
		}
	}()
	<-done
	return conn, err
}
