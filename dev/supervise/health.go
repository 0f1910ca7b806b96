package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Check asks once for the health of a process, at a URL that answers 2xx or at
// tcp:ADDRESS. The answer says what is wrong, and is "" when it is well.
func Check(ctx context.Context, health string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if address, ok := strings.CutPrefix(health, "tcp:"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return "does not listen yet"
		}
		conn.Close()
		return ""
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, health, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "does not answer"
	case err != nil:
		return "does not listen yet"
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	if resp.StatusCode/100 != 2 {
		return strings.TrimSpace(fmt.Sprintf("answers %d %s", resp.StatusCode, strings.Join(strings.Fields(string(body)), " ")))
	}
	return ""
}
