package pg

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// Away reports whether err says that the database could not be reached or did
// not answer in time, and not that it refused.
func Away(err error) bool {
	var (
		connect *pgconn.ConnectError
		network net.Error // reset, broken, refused, timed out
		refused *pgconn.PgError
	)
	if errors.As(err, &refused) {
		// Connection, shutdown and statement_timeout, resources; lock_timeout, idle in a transaction.
		class := refused.Code[:min(2, len(refused.Code))]
		return slices.Contains([]string{"08", "57", "53"}, class) || slices.Contains([]string{"55P03", "25P03"}, refused.Code)
	}
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || Late(err) ||
		errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Locked reports whether err says that somebody else kept locked what was to be locked, for as long as may be waited.
func Locked(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "55P03"
}

// Late reports whether err says that the time was over, also that for a lock.
func Late(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == "57014" || Locked(err)
	}
	return errors.Is(err, context.DeadlineExceeded)
}
