// Command health stands in containers that have no shell and no curl.
//
//	health URL     exits 0 when URL answers with a 2xx status, for a healthcheck
//	health hold ADDRESS URL    until it is told to stop it answers at ADDRESS what URL does, for a
//	                           container that keeps a network namespace for an app and its sidecar:
//	                           the app listens on loopback, and Prometheus is elsewhere
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
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
	switch {
	case len(args) == 1:
		return ask(args[0])
	case len(args) == 3 && args[0] == "hold":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		return hold(ctx, args[1], args[2])
	}
	return fmt.Errorf("usage: health URL | health hold ADDRESS URL")
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

// hold gives away that one page, whatever is asked for.
func hold(ctx context.Context, address, page string) error {
	to, err := url.Parse(page)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr: address, ReadHeaderTimeout: 5 * time.Second,
		Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.Out = &http.Request{Method: http.MethodGet, URL: to, Host: to.Host, Header: http.Header{}}
			r.Out = r.Out.WithContext(r.In.Context())
		}},
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
