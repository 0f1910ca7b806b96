package mailer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// pool keeps connections to one server.
type pool struct {
	slots   chan struct{} // as many as there may be connections
	idle    time.Duration
	connect func(ctx context.Context) (*conn, error)

	mu     sync.Mutex
	free   []*conn // the one used last is last
	closed bool
}

// conn is a connection that has greeted. Its net.Conn ends with a context, not
// with the deadlines that the library sets.
type conn struct {
	smtp  *smtp.Client
	raw   *limited
	stop  func() // frees raw of its context
	timer *time.Timer
	mails int // that were sent over it
}

func newPool(size int, idle time.Duration, connect func(ctx context.Context) (*conn, error)) *pool {
	return &pool{slots: make(chan struct{}, size), idle: idle, connect: connect}
}

// send sends a letter over a kept connection, or a new one. A kept one that
// turns out to be dead before the letter was handed over is replaced; after
// that nothing is repeated.
func (p *pool) send(ctx context.Context, l *letter) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("no connection became free: %w", ctx.Err())
	}
	defer func() { <-p.slots }()
	for {
		c := p.take()
		kept := c != nil
		if !kept {
			var err error
			if c, err = p.connect(ctx); err != nil {
				return fmt.Errorf("connect: %w", readable(err))
			}
		}
		err := c.send(ctx, l)
		var answer *textproto.Error
		switch {
		case err == nil:
			p.give(c)
			return nil
		case errors.As(err, &answer) && answer.Code != 421: // a refusal: the connection is as good as before
			p.give(c)
			return readable(err)
		}
		c.close()
		if kept && ctx.Err() == nil && !errors.Is(err, ErrUnanswered) {
			continue // idle for too long for the server, or the server was restarted
		}
		return readable(err)
	}
}

// refusal is a server's answer as people and mail's service read it: its code
// and its words, in one line.
type refusal struct {
	error
	answer *textproto.Error
}

func (r *refusal) Error() string {
	return strings.ReplaceAll(r.error.Error(), r.answer.Error(), fmt.Sprintf("%03d %s", r.answer.Code, strings.Join(strings.Fields(r.answer.Msg), " ")))
}

func (r *refusal) Unwrap() error { return r.error }

func readable(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return &refusal{err, answer}
	}
	return err
}

// take returns the connection used last, nil when there is none.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) > 0 {
		c := p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		if c.timer.Stop() {
			return c
		}
	}
	return nil
}

// give keeps a connection until it was idle for too long.
func (p *pool) give(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.quit()
		return
	}
	c.timer = time.AfterFunc(p.idle, func() {
		p.mu.Lock()
		for i, f := range p.free {
			if f == c {
				p.free = append(p.free[:i], p.free[i+1:]...)
				break
			}
		}
		p.mu.Unlock()
		c.quit()
	})
	p.free = append(p.free, c)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.free {
		if c.timer.Stop() {
			go c.quit()
		}
	}
	p.free = nil
}

// send sends a letter. Each step ends when ctx does.
func (c *conn) send(ctx context.Context, l *letter) error {
	stop := c.raw.limit(ctx)
	defer stop()
	if c.mails > 0 {
		if err := c.smtp.Reset(); err != nil {
			return c.failed(ctx, "RSET", err)
		}
	}
	c.mails++
	// The library puts the angle brackets where the caller does.
	if err := c.smtp.Mail("<" + l.from + ">"); err != nil {
		return c.failed(ctx, "MAIL", err)
	}
	if err := c.smtp.Rcpt("<" + l.to + ">"); err != nil {
		return c.failed(ctx, "RCPT", err)
	}
	w, err := c.smtp.Data()
	if err != nil {
		return c.failed(ctx, "DATA", err)
	}
	// Without the dot at its end no server takes a mail.
	if _, err := w.Write(l.text); err != nil {
		return c.failed(ctx, "DATA", err)
	}
	if err := w.Close(); err != nil {
		var answer *textproto.Error
		if errors.As(err, &answer) {
			return c.failed(ctx, "DATA", err)
		}
		return fmt.Errorf("%w: %w", ErrUnanswered, c.failed(ctx, "DATA", err))
	}
	return nil
}

// failed names the step, and the caller's end where that is the reason.
func (c *conn) failed(ctx context.Context, step string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", step, ctx.Err())
	}
	return fmt.Errorf("%s: %w", step, err)
}

func (c *conn) close() { _ = c.smtp.Close() }

// quit says goodbye to a server that may not listen any more.
func (c *conn) quit() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stop := c.raw.limit(ctx)
	defer stop()
	_ = c.smtp.Quit()
	_ = c.smtp.Close()
}

// limited is a net.Conn whose reads and writes end with a context. The
// library's own deadlines, which know nothing of it, are not heeded.
type limited struct {
	net.Conn
	mu sync.Mutex
	of int // which limit counts; an earlier one that ends late changes nothing
}

// SetDeadline changes nothing: the context does.
func (*limited) SetDeadline(time.Time) error { return nil }

// limit lets reads and writes end with ctx, until stop is called.
func (l *limited) limit(ctx context.Context) (stop func()) {
	l.mu.Lock()
	l.of++
	mine := l.of
	_ = l.Conn.SetDeadline(time.Time{})
	l.mu.Unlock()
	cancel := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.of == mine {
			_ = l.Conn.SetDeadline(time.Unix(1, 0))
		}
	})
	return func() { cancel() }
}
