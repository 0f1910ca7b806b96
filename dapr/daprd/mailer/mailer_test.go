package mailer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/kit/logger"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/daprd/mailer"
)

// server is a real SMTP server that keeps what it takes. Recipients decide
// how it behaves: "550@…" is refused with that code, "hang@…" gets no answer,
// "drop@…" has its connection cut once the mail was taken.
type server struct {
	t        *testing.T
	port     int
	smtp     *smtp.Server
	released chan struct{} // closed: who hangs goes on

	mu       sync.Mutex
	taken    []letter
	sessions int
	open     []net.Conn
	hung     chan struct{} // one for each that hangs
	together func()        // called within DATA
}

type letter struct{ from, to, text string }

type session struct {
	s        *server
	c        *smtp.Conn
	from, to string
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, released: make(chan struct{}), hung: make(chan struct{}, 100)}
	s.listen("127.0.0.1:0")
	t.Cleanup(func() { s.stop() })
	t.Cleanup(func() { close(s.released) })
	return s
}

func (s *server) listen(at string) {
	l, err := net.Listen("tcp", at)
	require.NoError(s.t, err)
	s.port = l.Addr().(*net.TCPAddr).Port
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions++
		s.open = append(s.open, c.Conn())
		return &session{s: s, c: c}, nil
	}))
	s.smtp.Domain, s.smtp.ErrorLog = "localhost", quiet{}
	go func() { _ = s.smtp.Serve(l) }()
}

// stop ends the server and all that it was talking to.
func (s *server) stop() {
	_ = s.smtp.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

func (s *server) letters() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]letter(nil), s.taken...)
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (x *session) Mail(from string, _ *smtp.MailOptions) error {
	x.from = from
	return nil
}

func (x *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.to = to
	if code, err := strconv.Atoi(to[:3]); err == nil {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "not " + to}
	}
	return nil
}

func (x *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	x.s.mu.Lock()
	x.s.taken = append(x.s.taken, letter{x.from, x.to, string(text)})
	together := x.s.together
	x.s.mu.Unlock()
	if together != nil {
		together()
	}
	switch {
	case strings.HasPrefix(x.to, "hang"):
		x.s.hung <- struct{}{}
		<-x.s.released
	case strings.HasPrefix(x.to, "drop"):
		_ = x.c.Conn().Close()
	}
	return nil
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }

func binding(t *testing.T, s *server, more map[string]string) bindings.OutputBinding {
	t.Helper()
	props := map[string]string{"host": "127.0.0.1", "port": strconv.Itoa(s.port)}
	for k, v := range more {
		props[k] = v
	}
	b := mailer.New(logger.NewLogger("test"))
	require.NoError(t, b.Init(t.Context(), bindings.Metadata{Base: metadata.Base{Name: "mail", Properties: props}}))
	t.Cleanup(func() { _ = b.(io.Closer).Close() })
	return b
}

func send(ctx context.Context, b bindings.OutputBinding, to string, more map[string]string) error {
	md := map[string]string{
		"emailFrom": "Stampede <shop@stampede.test>", "emailTo": to, "subject": "Hello", "priority": "3",
		"messageId": "0198@stampede.test", "text": "Hello, text", "emailCC": "", "emailBCC": "",
	}
	for k, v := range more {
		md[k] = v
	}
	_, err := b.Invoke(ctx, &bindings.InvokeRequest{Operation: bindings.CreateOperation, Data: []byte(strconv.Quote("<p>Hello, HTML</p>")), Metadata: md})
	return err
}

// TestLetter: both parts, the text first, the Message-ID as given, and names
// and subjects in any script.
func TestLetter(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	text := "Grüße an Zoë, 注文 🎉\n.\n.. a dot at the beginning\n" + strings.Repeat("long ", 300) + "\nFrom here"
	html := "<p>Grüße &amp; 注文 🎉</p>\n" + strings.Repeat("<td>Ω</td>", 500)
	for _, data := range []string{strconv.Quote(html), html} {
		_, err := b.Invoke(t.Context(), &bindings.InvokeRequest{Operation: bindings.CreateOperation, Data: []byte(data), Metadata: map[string]string{
			"emailFrom": "Ström & Söhne <shop@stampede.test>", "emailTo": "ada@example.com", "subject": "Bestellung für Zoë: 注文が確定しました 🎉 " + strings.Repeat("ü", 80),
			"priority": "3", "messageId": "0198-7@stampede.test", "text": text,
		}})
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.sessions, "one connection for both")
	require.Len(t, s.letters(), 2)
	for _, l := range s.letters() {
		require.Equal(t, "shop@stampede.test", l.from)
		require.Equal(t, "ada@example.com", l.to)
		m, err := netmail.ReadMessage(strings.NewReader(l.text))
		require.NoError(t, err)
		for name, values := range m.Header {
			require.Len(t, values, 1, name)
			for _, r := range values[0] {
				require.Less(t, r, rune(128), "%s: %s", name, values[0])
			}
		}
		from, err := m.Header.AddressList("From")
		require.NoError(t, err)
		require.Equal(t, []*netmail.Address{{Name: "Ström & Söhne", Address: "shop@stampede.test"}}, from)
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		require.NoError(t, err)
		require.Equal(t, "Bestellung für Zoë: 注文が確定しました 🎉 "+strings.Repeat("ü", 80), subject)
		require.Equal(t, "<0198-7@stampede.test>", m.Header.Get("Message-Id"))
		require.Equal(t, "3", m.Header.Get("X-Priority"))
		_, err = m.Header.Date()
		require.NoError(t, err)
		for line := range strings.SplitSeq(l.text, "\r\n") {
			require.LessOrEqual(t, len(line), 998)
		}
		kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		require.NoError(t, err)
		require.Equal(t, "multipart/alternative", kind)
		parts := multipart.NewReader(m.Body, params["boundary"])
		for _, want := range []struct{ kind, body string }{{"text/plain; charset=UTF-8", text}, {"text/html; charset=UTF-8", html}} {
			part, err := parts.NextRawPart()
			require.NoError(t, err)
			require.Equal(t, want.kind, part.Header.Get("Content-Type"))
			require.Equal(t, "quoted-printable", part.Header.Get("Content-Transfer-Encoding"))
			body, err := io.ReadAll(quotedprintable.NewReader(part))
			require.NoError(t, err)
			require.Equal(t, want.body, strings.TrimSuffix(string(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))), "\n"))
		}
		_, err = parts.NextRawPart()
		require.ErrorIs(t, err, io.EOF)
	}
}

// TestRefusedRequests: what could add a recipient or a header is no mail.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	for name, more := range map[string]map[string]string{
		"two":             {"emailTo": "ada@example.com,eve@example.com"},
		"two, semicolon":  {"emailTo": "ada@example.com;eve@example.com"},
		"no recipient":    {"emailTo": ""},
		"cc":              {"emailCC": "eve@example.com"},
		"bcc":             {"emailBCC": "eve@example.com"},
		"subject":         {"subject": "Hello\r\nBcc: eve@example.com"},
		"recipient":       {"emailTo": "ada@example.com\r\nBcc: eve@example.com"},
		"sender":          {"emailFrom": "Eve\n <shop@stampede.test>"},
		"quoted line end": {"emailTo": "\"a\\\nb\"@example.com"},
		"message id":      {"messageId": "1@stampede.test>\r\nBcc: eve@example.com"},
		"two ids":         {"messageId": "1@stampede.test> <2@stampede.test"},
		"priority":        {"priority": "9"},
	} {
		require.Error(t, send(t.Context(), b, "ada@example.com", more), name)
	}
	require.Empty(t, s.letters())
	require.Zero(t, s.sessions)
}

// TestAnswers: the server's code and words are in the error, and the
// connection serves the next mail.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	for _, code := range []int{550, 552, 554, 451, 450} {
		err := send(t.Context(), b, fmt.Sprintf("%d@example.com", code), nil)
		require.ErrorContains(t, err, fmt.Sprintf("%d %d.1.1 not", code, code/100))
		require.NotErrorIs(t, err, mailer.ErrUnanswered)
	}
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	require.Equal(t, 1, s.sessions)
	require.Len(t, s.letters(), 1)
}

// TestTooBusy: 421 ends the connection.
func TestTooBusy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	require.ErrorContains(t, send(t.Context(), b, "421@example.com", nil), "421 4.1.1 not")
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	require.Equal(t, 2, s.sessions)
}

// TestContext: a server that does not answer keeps nobody beyond its caller's
// time, in whatever step, and such a mail is unanswered only once it was handed over.
func TestContext(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, map[string]string{"connections": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- send(ctx, b, "hang@example.com", nil) }()
	<-s.hung
	// The one connection is taken, so this one waits, and goes.
	waiting, leave := context.WithCancel(t.Context())
	leave()
	err := send(waiting, b, "ada@example.com", nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, mailer.ErrUnanswered)
	cancel()
	err = <-ended
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, mailer.ErrUnanswered)
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil), "by a new connection")
	require.Len(t, s.letters(), 2)

	// A server that takes connections and never greets.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	b = binding(t, &server{port: silent.Addr().(*net.TCPAddr).Port}, nil)
	ctx, cancel = context.WithCancel(t.Context())
	go func() { ended <- send(ctx, b, "ada@example.com", nil) }()
	c, err := silent.Accept()
	require.NoError(t, err)
	defer c.Close()
	cancel()
	err = <-ended
	require.Error(t, err)
	require.NotErrorIs(t, err, mailer.ErrUnanswered)

	// The component's own limit.
	b = binding(t, s, map[string]string{"timeout": "200ms"})
	require.ErrorIs(t, send(t.Context(), b, "hang@example.com", nil), mailer.ErrUnanswered)
}

// TestDroppedAfterData: nobody knows whether it was taken, so nothing is repeated here.
func TestDroppedAfterData(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	err := send(t.Context(), b, "drop@example.com", nil)
	require.ErrorIs(t, err, mailer.ErrUnanswered)
	require.ErrorContains(t, err, "unanswered")
	require.Len(t, s.letters(), 2, "once")
}

// TestDeadConnection: a kept connection that the server has cut is replaced, and no mail is lost.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, nil)
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	at := fmt.Sprintf("127.0.0.1:%d", s.port)
	s.stop()
	err := send(t.Context(), b, "ada@example.com", nil)
	require.ErrorContains(t, err, "dial tcp", "the server is away")
	require.NotErrorIs(t, err, mailer.ErrUnanswered)
	s.listen(at)
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	s.mu.Lock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	require.Len(t, s.letters(), 3)
}

// TestIdle: a connection that nobody uses is given back.
func TestIdle(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := binding(t, s, map[string]string{"idle": "1ms"})
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	s.mu.Lock()
	c := s.open[0]
	s.mu.Unlock()
	require.Eventually(t, func() bool { _, err := c.Write(nil); return errors.Is(err, net.ErrClosed) }, 10e9, 5e6)
	require.NoError(t, send(t.Context(), b, "ada@example.com", nil))
	require.Len(t, s.letters(), 2)
}

// TestManyAtOnce: as many as there are connections are under way together,
// each mail with its own recipient and text.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const connections, mails = 8, 200
	s := serve(t)
	var met sync.WaitGroup
	met.Add(connections)
	var arrived int
	s.together = func() { // the first eight wait for each other
		s.mu.Lock()
		first := arrived < connections
		arrived++
		s.mu.Unlock()
		if first {
			met.Done()
			met.Wait()
		}
	}
	b := binding(t, s, nil)
	var all sync.WaitGroup
	for i := range mails {
		all.Go(func() {
			to := fmt.Sprintf("shopper%d@example.com", i)
			if err := send(t.Context(), b, to, map[string]string{"text": "for " + to + ".", "messageId": fmt.Sprintf("%d@stampede.test", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, connections, s.sessions)
	seen := map[string]bool{}
	for _, l := range s.letters() {
		require.Contains(t, l.text, "for "+l.to+".")
		require.Contains(t, l.text, "To: <"+l.to+">")
		seen[l.to] = true
	}
	require.Len(t, seen, mails)
	require.Len(t, s.letters(), mails)
}

func TestInit(t *testing.T) {
	t.Parallel()
	for name, props := range map[string]map[string]string{
		"no host":     {"port": "25"},
		"no port":     {"host": "localhost"},
		"no password": {"host": "localhost", "port": "25", "user": "shop"},
		"tls":         {"host": "localhost", "port": "25", "tls": "maybe"},
		"connections": {"host": "localhost", "port": "25", "connections": "0"},
	} {
		b := mailer.New(logger.NewLogger("test"))
		require.Error(t, b.Init(t.Context(), bindings.Metadata{Base: metadata.Base{Properties: props}}), name)
	}
}
