package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
)

// request is sent byte by byte as it stands here: Go's own client would tidy paths and headers up.
type request struct {
	method  string
	path    string
	header  []string // "Name: value"
	body    string
	chunked bool
	length  int    // a Content-Length that promises more than body
	from    string // address of the client; "" is one that no other request has
}

type answer struct {
	status int
	header http.Header
	body   string
	seen   *seen // what reached a sidecar, nil when nothing did or nobody can look
}

var (
	lastClient  atomic.Uint32
	lastRequest atomic.Uint64
)

// The first ones are others in each run: a Redis that counts for Kong remembers the clients of the last minute, and a
// gateway the drops that it was asked for.
func init() {
	lastClient.Store(rand.Uint32())
	lastRequest.Store(uint64(rand.Uint32()) << 24)
}

// newClient gives an address on the loopback network that nobody has used, so that limits by address do not mix.
func newClient() string {
	n := lastClient.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 16+n>>16&0x3f, n>>8&0xff, n&0xff)
}

// send makes one request on a connection of its own.
func (g *gateway) send(t require.TestingT, r request) answer {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	conn := g.dial(t, r.from)
	defer conn.Close()
	id := fmt.Sprint(lastRequest.Add(1))
	// A gateway that refuses early may close while a large body is still on its way: its answer counts.
	_, writeErr := conn.Write(r.bytes(g.host, id))
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: r.method})
	for err == nil && response.StatusCode == http.StatusContinue { // to who sends Expect
		response, err = http.ReadResponse(reader, &http.Request{Method: r.method})
	}
	require.NoError(t, err, "%s %s: no answer (sent: %v)", r.method, r.path, writeErr)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err, "%s %s", r.method, r.path)
	// Nginx closes a connection late when it renews an answer of its cache meanwhile.
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	rest, _ := io.ReadAll(reader)
	require.Empty(t, rest, "%s %s: bytes after the answer", r.method, r.path)
	a := answer{status: response.StatusCode, header: response.Header, body: string(body)}
	if g.upstream != nil {
		a.seen = g.upstream.find(id)
	}
	return a
}

func (g *gateway) dial(t require.TestingT, from string) net.Conn {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if g.loopback {
		if from == "" {
			from = newClient()
		}
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial("tcp", g.address)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	return conn
}

func (r request) bytes(host, id string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.path)
	for _, h := range r.header {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Host: %s\r\nX-Probe: %s\r\nConnection: close\r\n", host, id)
	switch {
	case r.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for rest := r.body; rest != ""; {
			n := min(len(rest), 64<<10)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		b.WriteString("0\r\n\r\n")
	case r.length > 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", r.length)
	case r.body != "" || !strings.Contains("GET HEAD OPTIONS", r.method):
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(r.body), r.body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
