// Package mailer is an output binding that sends mail by SMTP, as Dapr's own
// cannot: with a text part and a Message-ID, many at once over connections
// that are kept, and within the time that its caller has.
package mailer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/kit/logger"
	kitmd "github.com/dapr/kit/metadata"
	"github.com/wneessen/go-mail"
)

// ErrUnanswered says that a mail was handed over and no answer came: nobody
// knows whether it was taken. Its text reaches the caller through daprd, which
// passes on texts only.
var ErrUnanswered = errors.New("unanswered: the mail may have been taken")

// options are the component's metadata.
type options struct {
	Host          string        `mapstructure:"host"`
	Port          int           `mapstructure:"port"`
	User          string        `mapstructure:"user"`     // none: no authentication
	Password      string        `mapstructure:"password"` // with user
	EmailFrom     string        `mapstructure:"emailFrom"`
	TLS           string        `mapstructure:"tls"` // opportunistic, mandatory, implicit or none
	SkipTLSVerify bool          `mapstructure:"skipTLSVerify"`
	Connections   int           `mapstructure:"connections"` // at most, at once
	Timeout       time.Duration `mapstructure:"timeout"`     // of one request; less than its caller has, so that it is told how far it came
	Idle          time.Duration `mapstructure:"idle"`        // how long a connection is kept unused
}

// Mailer is the binding.
type Mailer struct {
	log  logger.Logger
	opts options
	dial *mail.Client
	tls  *tls.Config
	pool *pool
}

// New makes the binding.
func New(log logger.Logger) bindings.OutputBinding { return &Mailer{log: log} }

// Init reads the component's metadata. It does not connect.
func (m *Mailer) Init(_ context.Context, md bindings.Metadata) error {
	m.opts = options{TLS: "opportunistic", Connections: 8, Timeout: 50 * time.Second, Idle: 30 * time.Second}
	if err := kitmd.DecodeMetadata(md.Properties, &m.opts); err != nil {
		return fmt.Errorf("mailer: %w", err)
	}
	o := m.opts
	switch {
	case o.Host == "" || o.Port <= 0:
		return errors.New("mailer: host and port are required")
	case (o.User == "") != (o.Password == ""):
		return errors.New("mailer: user and password go together")
	case o.Connections < 1 || o.Timeout <= 0 || o.Idle <= 0:
		return errors.New("mailer: connections, timeout and idle must be above 0")
	}
	m.tls = &tls.Config{ServerName: o.Host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.SkipTLSVerify} //nolint:gosec // who asks for it gets it
	all := []mail.Option{mail.WithPort(o.Port), mail.WithTimeout(o.Timeout), mail.WithTLSConfig(m.tls)}
	switch o.TLS {
	case "opportunistic", "implicit":
		all = append(all, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case "mandatory":
		all = append(all, mail.WithTLSPolicy(mail.TLSMandatory))
	case "none":
		all = append(all, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return fmt.Errorf("mailer: tls is %q, not opportunistic, mandatory, implicit or none", o.TLS)
	}
	if o.TLS == "implicit" {
		all = append(all, mail.WithSSL())
	}
	if o.User != "" {
		all = append(all, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(o.User), mail.WithPassword(o.Password))
	}
	client, err := mail.NewClient(o.Host, all...)
	if err != nil {
		return fmt.Errorf("mailer: %w", err)
	}
	m.pool = newPool(o.Connections, o.Idle, func(ctx context.Context) (*conn, error) { return m.connect(ctx, all) })
	m.dial = client
	return nil
}

// connect greets the server, in the caller's time: everything that is read
// or written until the connection is ready ends with ctx.
func (m *Mailer) connect(ctx context.Context, opts []mail.Option) (*conn, error) {
	c := &conn{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var raw net.Conn
		var err error
		if m.opts.TLS == "implicit" {
			raw, err = (&tls.Dialer{Config: m.tls}).DialContext(ctx, network, address)
		} else {
			raw, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if err != nil {
			return nil, err
		}
		c.raw = &limited{Conn: raw}
		c.stop = c.raw.limit(ctx)
		return c.raw, nil
	}
	// A client of its own, because it keeps what it dialled.
	client, err := mail.NewClient(m.opts.Host, append(opts[:len(opts):len(opts)], mail.WithDialContextFunc(dial))...)
	if err != nil {
		return nil, err
	}
	c.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		if c.raw != nil {
			c.stop()
			_ = c.raw.Close()
		}
		return nil, err
	}
	c.stop()
	return c, nil
}

// Operations lists what the binding does.
func (m *Mailer) Operations() []bindings.OperationKind {
	return []bindings.OperationKind{bindings.CreateOperation}
}

// GetComponentMetadata lists the component's options.
func (m *Mailer) GetComponentMetadata() (info metadata.MetadataMap) {
	_ = metadata.GetMetadataInfoFromStructType(reflect.TypeFor[options](), &info, metadata.BindingType)
	return info
}

// Invoke sends one mail and returns once the server has taken it. An answer
// of the server's stays in the error's text, with its code; ErrUnanswered
// means that none came to a mail that was handed over.
func (m *Mailer) Invoke(ctx context.Context, req *bindings.InvokeRequest) (*bindings.InvokeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	l, err := m.compose(req)
	if err != nil {
		return nil, fmt.Errorf("mailer: %w", err)
	}
	if err := m.pool.send(ctx, l); err != nil {
		return nil, fmt.Errorf("mailer: %w", err)
	}
	return nil, nil
}

// Close ends the connections that are idle; those in use end with their mail.
func (m *Mailer) Close() error {
	if m.pool != nil {
		m.pool.close()
	}
	return nil
}

// letter is a mail as SMTP carries it.
type letter struct {
	from, to string // bare addresses
	text     []byte
}

// compose makes the mail of a request: its data is the HTML, as it is or as a
// Go string literal.
func (m *Mailer) compose(req *bindings.InvokeRequest) (*letter, error) {
	field := func(name string) string { return strings.TrimSpace(req.Metadata[name]) }
	for _, name := range []string{"emailFrom", "emailTo", "subject", "messageId", "priority"} {
		if strings.ContainsAny(req.Metadata[name], "\r\n\x00") {
			return nil, fmt.Errorf("%s: holds a line break", name)
		}
	}
	if field("emailCC") != "" || field("emailBCC") != "" {
		return nil, errors.New("one recipient, neither emailCC nor emailBCC")
	}
	sender := field("emailFrom")
	if sender == "" {
		sender = m.opts.EmailFrom
	}
	from, err := netmail.ParseAddress(sender)
	if err != nil {
		return nil, fmt.Errorf("emailFrom: invalid address: %w", err)
	}
	to, err := netmail.ParseAddress(field("emailTo"))
	if err != nil {
		return nil, fmt.Errorf("emailTo: invalid address: %w", err)
	}
	for _, a := range []string{from.Address, to.Address} {
		if strings.ContainsAny(a, "\r\n\x00<> ") {
			return nil, errors.New("invalid address: holds a character that ends it")
		}
	}
	msg := mail.NewMsg()
	msg.FromMailAddress(from)
	msg.ToMailAddress(to)
	msg.Subject(field("subject"))
	msg.SetDate()
	if id := strings.Trim(field("messageId"), "<>"); id != "" {
		if strings.ContainsAny(id, "<> \t") || strings.Count(id, "@") != 1 {
			return nil, errors.New("messageId: is not left@right")
		}
		msg.SetMessageIDWithValue(id)
	} else {
		msg.SetMessageID()
	}
	if p := field("priority"); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 5 {
			return nil, errors.New("priority: is not 1 to 5")
		}
		msg.SetGenHeader(mail.HeaderXPriority, p)
	}
	html, err := strconv.Unquote(string(req.Data))
	if err != nil {
		html = string(req.Data)
	}
	if text := req.Metadata["text"]; text != "" {
		msg.SetBodyString(mail.TypeTextPlain, text)
		msg.AddAlternativeString(mail.TypeTextHTML, html)
	} else {
		msg.SetBodyString(mail.TypeTextHTML, html)
	}
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		return nil, err
	}
	return &letter{from.Address, to.Address, out.Bytes()}, nil
}
