package stack

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stampede-shop/stampede/dev/supervise"
)

const (
	mostInstances    = 4 // of one app
	portsOfInstance  = 6
	appsWithPorts    = 16 // so many apps have ports for further instances, without meeting another stack's
	portsForFurther  = (mostInstances - 1) * portsOfInstance
	poolConnections  = 12 // kit/pg's, of an instance whose service has no setting
	listenConnection = 2  // that an instance listens by, at most; its migrations have ended before its pool opens

	// KeycloakConnections is the most that Keycloak keeps to its database.
	KeycloakConnections = 20
	stateConnections    = 10 // of a sidecar whose state store is PostgreSQL (components/swaps/state-postgres)
	spareConnections    = 15 // three are the superuser's own; make audit, make up and people take some
)

// wanted reads INSTANCES: a number for all apps, and NAME=NUMBER for one, with
// blanks between.
func wanted(text string) (all int, own map[string]int, err error) {
	all, own = 1, map[string]int{}
	for word := range strings.FieldsSeq(text) {
		name, number, one := strings.Cut(word, "=")
		if !one {
			name, number = "", word
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > mostInstances {
			return 0, nil, fmt.Errorf("instances are a number from 1 to %d, not %q", mostInstances, number)
		}
		if one {
			own[name] = n
		} else {
			all = n
		}
	}
	return all, own, nil
}

// instances returns every instance of the apps, each beside the first of its app.
func (s *Stack) instances(apps []App) ([]App, error) {
	all, own, err := wanted(s.Settings.Get("INSTANCES"))
	if err != nil {
		return nil, fmt.Errorf("INSTANCES: %w", err)
	}
	var list []App
	for place, a := range apps {
		n, ok := own[a.ID]
		if !ok {
			n = all
		}
		delete(own, a.ID)
		if n > 1 && place >= appsWithPorts {
			return nil, fmt.Errorf("INSTANCES: there are no ports for more than one %s", a.ID)
		}
		list = append(list, a)
		for i := 2; i <= n; i++ {
			list = append(list, s.further(a, place, i))
		}
	}
	for name := range own {
		return nil, fmt.Errorf("INSTANCES: no app is called %q", name)
	}
	return list, nil
}

// further is the ith instance of an app: the same on other ports.
func (s *Stack) further(a App, place, i int) App {
	port := s.Port(firstInstance + place*portsForFurther + (i-2)*portsOfInstance)
	if !a.Edge() {
		a.Port = port
	}
	a.HTTPPort, a.GRPCPort, a.InternalPort, a.MetricsPort, a.PublicPort = port+1, port+2, port+3, port+4, port+5
	a.Instance = i
	return a
}

// Surplus are the instances that there could be and that are not among apps.
func (s *Stack) Surplus(apps []App) []App {
	var list []App
	place := -1
	for i, a := range apps {
		if a.Instance == 1 {
			place++
		}
		if last := i == len(apps)-1 || apps[i+1].Instance == 1; !last {
			continue
		}
		for n := a.Instance + 1; n <= mostInstances && place < appsWithPorts; n++ {
			list = append(list, s.further(a, place, n))
		}
	}
	return list
}

// SetInstances sets how many of an app there are.
func (s *Stack) SetInstances(app string, n int) error {
	text := s.Settings.Get("INSTANCES")
	all, own, err := wanted(text)
	if err != nil {
		return fmt.Errorf("INSTANCES: %w", err)
	}
	own[app] = n
	if n == all {
		delete(own, app)
	}
	var words []string
	if all > 1 {
		words = append(words, strconv.Itoa(all))
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		words = append(words, name+"="+strconv.Itoa(own[name]))
	}
	return s.Settings.Put("INSTANCES", strings.Join(words, " "))
}

var maxConnections = regexp.MustCompile(`(?m)^max_connections = (\d+)`)

// CheckConnections returns an error when these instances may together want more
// connections than PostgreSQL gives.
func (s *Stack) CheckConnections(apps []App) error {
	file := filepath.Join(s.Root, "deploy", "postgres", "postgresql.conf")
	conf, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	found := maxConnections.FindSubmatch(conf)
	if found == nil {
		return fmt.Errorf("%s: no max_connections", file)
	}
	most, _ := strconv.Atoi(string(found[1])) // the expression takes digits alone
	total := KeycloakConnections + spareConnections
	lines := []string{fmt.Sprintf("%d for Keycloak, %d to spare", KeycloakConnections, spareConnections)}
	byPool := map[string]int{}
	var order []string
	for _, a := range apps {
		each := 0
		if s.KeepsRecords(a) {
			setting := a.EnvName() + "_DATABASE_CONNECTIONS"
			each = poolConnections
			if given := s.Settings.Get(setting); given != "" {
				if each, err = strconv.Atoi(given); err != nil {
					return fmt.Errorf("%s must be a number, not %q", setting, given)
				}
			}
			each += listenConnection
		}
		if s.Plugged.Uses("state.postgresql") && s.Plugged.scoped("state", a.ID) {
			each += stateConnections
		}
		if each == 0 {
			continue
		}
		total += each
		line := fmt.Sprintf("%s of %s", strconv.Itoa(each), a.ID)
		if byPool[line]++; byPool[line] == 1 {
			order = append(order, line)
		}
	}
	if total <= most {
		return nil
	}
	for _, line := range order {
		lines = append(lines, fmt.Sprintf("%d × %s", byPool[line], line))
	}
	return &supervise.Failure{
		Line:  fmt.Sprintf("so many instances may want %d connections to PostgreSQL, which gives %d (max_connections in deploy/postgres/postgresql.conf)", total, most),
		Lines: append(lines, "fewer instances, or fewer connections of each: ORDERS_DATABASE_CONNECTIONS=8 and its like in "+s.Settings.File),
	}
}
