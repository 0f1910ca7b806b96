//go:build stablecomponents

// Command daprd is Dapr's own sidecar at the version that Stampede is tested
// with: Dapr's stable components, the six below that its stable set lacks,
// oauth2 with its sessions repaired (package session), RabbitMQ with a
// connection for each subscription (package rabbit), names of apps only while
// they welcome calls (package names), and a mail binding of our own (package
// mailer). Build it with -tags stablecomponents (dev does).
package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/dapr/components-contrib/bindings/aws/ses"
	"github.com/dapr/components-contrib/bindings/smtp"
	redislock "github.com/dapr/components-contrib/lock/redis"
	"github.com/dapr/components-contrib/middleware"
	"github.com/dapr/components-contrib/middleware/http/oauth2"
	"github.com/dapr/components-contrib/pubsub/jetstream"
	"github.com/dapr/dapr/cmd/daprd/app"
	"github.com/dapr/dapr/pkg/components/bindings"
	"github.com/dapr/dapr/pkg/components/lock"
	"github.com/dapr/dapr/pkg/components/middleware/http"
	"github.com/dapr/dapr/pkg/components/nameresolution"
	"github.com/dapr/dapr/pkg/components/pubsub"
	httpmiddleware "github.com/dapr/dapr/pkg/middleware"
	"github.com/dapr/kit/logger"

	"github.com/stampede-shop/stampede/dapr/daprd/mailer"
	"github.com/stampede-shop/stampede/dapr/daprd/names"
	"github.com/stampede-shop/stampede/dapr/daprd/rabbit"
	"github.com/stampede-shop/stampede/dapr/daprd/session"
)

func main() {
	http.DefaultRegistry.RegisterComponent(func(log logger.Logger) http.FactoryMethod {
		return func(m middleware.Metadata) (httpmiddleware.HTTP, error) {
			handler, err := oauth2.NewOAuth2Middleware(log).GetHandler(context.Background(), m)
			if err != nil {
				return nil, err
			}
			return session.Guard(handler), nil
		}
	}, "oauth2")
	bindings.DefaultRegistry.RegisterOutputBinding(smtp.NewSMTP, "smtp")
	bindings.DefaultRegistry.RegisterOutputBinding(mailer.New, "mailer")
	bindings.DefaultRegistry.RegisterOutputBinding(ses.NewAWSSES, "aws.ses")
	pubsub.DefaultRegistry.RegisterComponent(jetstream.NewJetStream, "jetstream")
	nameresolution.DefaultRegistry.RegisterComponent(names.New, "sqlite") // lists an app only while it welcomes calls
	pubsub.DefaultRegistry.RegisterComponent(rabbit.New, "rabbitmq")      // instead of the stable set's
	lock.DefaultRegistry.RegisterComponent(redislock.NewStandaloneRedisLock, "redis")
	freshPort()
	app.Run()
}

// freshPort gives a sidecar that is told none a port for its neighbours which
// nobody had just before. Dapr's own choice follows from the app id, the same at
// each start, and callers look for a sidecar where one went away only after a
// pause (gRPC's backoff).
func freshPort() {
	const flag = "--dapr-internal-grpc-port"
	for _, arg := range os.Args[1:] {
		if strings.HasPrefix(arg, flag) {
			return
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return // Dapr's choice, then
	}
	port := l.Addr().(*net.TCPAddr).Port
	if l.Close() == nil {
		os.Args = append(os.Args, flag, strconv.Itoa(port))
	}
}
