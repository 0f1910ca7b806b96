// Package runfile reads dapr/dapr.yaml, Dapr's multi-app run file and the one
// list of the shop's apps.
package runfile

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// Sidecar holds the options that may stand in common and with each app.
type Sidecar struct {
	ConfigFile       string            `yaml:"configFilePath"`
	ResourcesPaths   []string          `yaml:"resourcesPaths"`
	AppProtocol      string            `yaml:"appProtocol"`
	LogLevel         string            `yaml:"logLevel"`
	MaxConcurrency   int               `yaml:"appMaxConcurrency"`
	MaxBodySize      string            `yaml:"maxBodySize"`
	ReadBufferSize   string            `yaml:"readBufferSize"`
	AppHealth        bool              `yaml:"enableAppHealthCheck"`
	AppHealthPath    string            `yaml:"appHealthCheckPath"`
	AppHealthEvery   int               `yaml:"appHealthProbeInterval"`
	AppHealthTimeout int               `yaml:"appHealthProbeTimeout"`
	AppHealthLimit   int               `yaml:"appHealthThreshold"`
	APILogging       bool              `yaml:"enableApiLogging"`
	Placement        string            `yaml:"placementHostAddress"`
	Scheduler        string            `yaml:"schedulerHostAddress"`
	RuntimePath      string            `yaml:"runtimePath"`
	Env              map[string]string `yaml:"env"`
}

// App is one app of the file, or (without a command) an edge sidecar.
type App struct {
	Sidecar      `yaml:",inline"`
	ID           string   `yaml:"appID"`
	Dir          string   `yaml:"appDirPath"`
	Port         int      `yaml:"appPort"`
	HTTPPort     int      `yaml:"daprHTTPPort"`
	GRPCPort     int      `yaml:"daprGRPCPort"`
	InternalPort int      `yaml:"daprInternalGRPCPort"`
	MetricsPort  int      `yaml:"metricsPort"`
	Command      []string `yaml:"command"`
}

// Edge reports whether this is a sidecar of the edge, which has no app.
func (a App) Edge() bool { return len(a.Command) == 0 }

// Parse reads the text of the file, with the names and defaults of `dapr run
// -f`: what common says is filled in. An app without an id or a port is an error.
func Parse(text []byte) ([]App, error) {
	var file struct {
		Common Sidecar `yaml:"common"`
		Apps   []App   `yaml:"apps"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.AllowDuplicateMapKey()); err != nil {
		return nil, fmt.Errorf("run file: %w", err)
	}
	for i := range file.Apps {
		a := &file.Apps[i]
		if a.ID == "" || a.HTTPPort == 0 || a.GRPCPort == 0 || a.InternalPort == 0 || a.MetricsPort == 0 || (a.Port == 0) != a.Edge() {
			return nil, fmt.Errorf("run file: app %q lacks an id or a port", a.ID)
		}
		a.Sidecar = a.or(file.Common)
	}
	return file.Apps, nil
}

// or fills what is not set from common; resource paths and variables are of
// both, as with the dapr CLI.
func (c Sidecar) or(common Sidecar) Sidecar {
	pick := func(own *string, shared, fallback string) {
		if *own == "" {
			*own = shared
		}
		if *own == "" {
			*own = fallback
		}
	}
	pick(&c.ConfigFile, common.ConfigFile, "")
	pick(&c.AppProtocol, common.AppProtocol, "http")
	pick(&c.LogLevel, common.LogLevel, "info")
	pick(&c.MaxBodySize, common.MaxBodySize, "4Mi")
	pick(&c.ReadBufferSize, common.ReadBufferSize, "4Ki")
	pick(&c.AppHealthPath, common.AppHealthPath, "")
	pick(&c.Placement, common.Placement, "")
	pick(&c.Scheduler, common.Scheduler, "")
	pick(&c.RuntimePath, common.RuntimePath, "")
	c.AppHealth = c.AppHealth || common.AppHealth
	c.APILogging = c.APILogging || common.APILogging
	c.MaxConcurrency = first(c.MaxConcurrency, common.MaxConcurrency)
	c.AppHealthEvery = first(c.AppHealthEvery, common.AppHealthEvery)
	c.AppHealthTimeout = first(c.AppHealthTimeout, common.AppHealthTimeout)
	c.AppHealthLimit = first(c.AppHealthLimit, common.AppHealthLimit)
	if len(c.ResourcesPaths) == 0 {
		c.ResourcesPaths = common.ResourcesPaths
	}
	env := map[string]string{}
	for _, vars := range []map[string]string{common.Env, c.Env} {
		for key, value := range vars {
			env[key] = value
		}
	}
	c.Env = env
	return c
}

func first(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}
