// Command health stands in containers that have no shell and no curl, for their healthchecks:
//
//	health URL     exits 0 when URL answers with a 2xx status
//	health wait    does nothing until it is told to stop: what a sidecar stands beside that is alone (deploy/helm)
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: health URL | wait")
	}
	if args[0] == "wait" {
		<-ctx.Done()
		return nil
	}
	return ask(args[0])
}

func ask(url string) error {
	client := http.Client{
		Timeout: 3 * time.Second,
		// An answer that sends elsewhere is an answer, not a place to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
