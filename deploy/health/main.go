// Command health stands in containers that have no shell and no curl.
//
//	health URL     exits 0 when URL answers with a 2xx status, for a healthcheck
//	health hold    does nothing until it is told to stop, for a container that only keeps
//	               a network namespace for an app and its sidecar
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: health URL | health hold")
	}
	if args[0] == "hold" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		<-stop
		return nil
	}
	client := http.Client{
		Timeout: 3 * time.Second,
		// An answer that sends elsewhere is an answer, not a place to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(args[0])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s answers %s", args[0], resp.Status)
	}
	return nil
}
