package serve

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProfiles: profiles are served on loopback alone, and no longer than the
// service.
func TestProfiles(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())

	end, err := serveProfiles(port)
	require.NoError(t, err)
	at := "http://127.0.0.1:" + strconv.Itoa(port) + "/debug/pprof/goroutine?debug=1"
	resp, err := http.Get(at)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(text), "TestProfiles")

	everywhere, err := net.Listen("tcp", "127.0.0.2:"+strconv.Itoa(port)) // taken, were it every address
	require.NoError(t, err)
	require.NoError(t, everywhere.Close())
	end()
	_, err = http.Get(at)
	require.Error(t, err)
}
