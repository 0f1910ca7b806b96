// Package observe makes the dashboards of deploy/observe/dashboards, in Grafana's JSON. `make generate` writes them;
// tests/observe asks a Prometheus each of their questions after people have bought.
package observe

import (
	"encoding/json"
	"strings"
)

// Dashboard is a page of panels.
type Dashboard struct {
	Name   string // of its file, and its uid
	Title  string
	PerApp bool // with a choice of services, $app
	Panels []Panel
}

// Panel is one picture.
type Panel struct {
	Title   string
	Unit    string // as Grafana calls it: short, s, bytes, percentunit, reqps
	Queries []Query
}

// Query is one question to Prometheus, and the name of each line of the answer.
type Query struct{ Expr, Legend string }

// span is how far back rates look: as far as the time between two readings needs, which Grafana knows.
const span = "[$__rate_interval]"

// rate is how fast a counter grows, in the sum by labels.
func rate(counter, by string) string {
	return "sum by (" + by + ") (rate(" + counter + span + "))"
}

// quantile is that part of a histogram's values, by labels.
func quantile(part, histogram, by string) string {
	return "histogram_quantile(" + part + ", " + rate(histogram, strings.Join([]string{"le", by}, ", ")) + ")"
}

// part is which part of a counter's growth fits more labels, 0 where none does.
func part(counter, labels, more, by string) string {
	all := rate(counter+"{"+labels+"}", by)
	return "(" + rate(counter+"{"+labels+","+more+"}", by) + " or 0 * " + all + ") / " + all
}

func one(title, unit, expr, legend string) Panel {
	return Panel{title, unit, []Query{{expr, legend}}}
}

// lot is a figure that every instance of drops tells of a lot.
func lot(title, unit, figure string) Panel {
	return one(title, unit, "max by (drop, sku) ("+figure+")", "{{drop}} {{sku}}")
}

// claims is the route by which drops are bought.
const claims = "/api/v1/drops/{slug}/claim"

// Dashboards are all of them.
func Dashboards() []Dashboard {
	return []Dashboard{
		{Name: "shop", Title: "Shop", Panels: []Panel{
			one("Orders a minute", "short", "60 * "+rate(`events_saved_total{topic=~"order\\..*"}`, "topic"), "{{topic}}"),
			one("Revenue an hour", "short", "36 * "+rate(`events_worth_total{topic="order.confirmed.v1"}`, "currency"), "{{currency}}"),
			one("Money given back an hour", "short",
				"36 * "+rate(`events_worth_total{topic="payment.refunded.v1"}`, "currency"), "{{currency}}"),
			one("The oldest pending order", "s", "max(orders_pending_seconds)", "waits for"),
			one("Orders that ended, by reason", "short",
				"60 * "+rate(`events_saved_total{topic="order.cancelled.v1"}`, "reason"), "{{reason}}"),
			one("Refused at the checkout", "short",
				"60 * "+rate(`problems_total{app="orders",route="/api/v1/orders"}`, "problem"), "{{problem}}"),
			one("Holds", "short",
				"60 * "+rate(`http_request_seconds_count{app="inventory",route=~"/internal/.*hold.*"}`, "method, route, status"),
				"{{method}} {{route}} {{status}}"),
			one("Refused holds", "short",
				"60 * "+rate(`problems_total{app="inventory",route=~"/internal/.*hold.*"}`, "problem"), "{{problem}}"),
			{"Payments a minute", "short", []Query{
				{"60 * " + rate(`events_saved_total{topic=~"payment\\..*"}`, "topic, reason"), "{{topic}} {{reason}}"},
			}},
			one("Mails a minute", "short", "60 * "+rate(`dapr_component_output_binding_count{app="mail"}`, "success"), "sent: {{success}}"),
		}},
		{Name: "drops", Title: "Drops", Panels: []Panel{
			lot("Waiting", "short", "drop_waiting"),
			lot("Called", "short", "drop_called"),
			one("Called a minute", "short", "60 * max by (drop, sku) (rate(drop_called"+span+"))", "{{drop}} {{sku}}"),
			lot("Which part of the called comes", "percentunit", "drop_show_rate"),
			one("Units", "short", "max by (drop, sku, state) (drop_units)", "{{drop}} {{sku}} {{state}}"),
			one("Claims, by what became of them", "short", "max by (drop, sku, state) (drop_claims)", "{{drop}} {{sku}} {{state}}"),
			one("Claims a minute", "short",
				"60 * "+rate(`http_request_seconds_count{app="drops",route="`+claims+`"}`, "status"), "{{status}}"),
			one("Refused claims", "short", "60 * "+rate(`problems_total{app="drops",route="`+claims+`"}`, "problem"), "{{problem}}"),
			one("At the gateway", "reqps", rate(`gateway_requests_total{service="drops"}`, "work, status"), "{{work}} {{status}}"),
			{"Should have been open", "s", []Query{
				{"max by (drop) (drop_late_seconds)", "{{drop}} for"},
				{"max by (drop) (drop_beacon_late_seconds)", "{{drop}}: its beacon is late by"},
			}},
			lot("The next should have been called for", "s", "drop_idle_seconds"),
			one("Moved on last; the lowest is at work", "s",
				"max by (drop, instance) (drop_round_seconds)", "{{drop}} {{instance}}"),
			one("Asked for the status", "reqps",
				rate(`http_request_seconds_count{app="drops",route="/api/v1/drops/{slug}/status"}`, "instance"), "{{instance}}"),
			one("Entries a minute", "short",
				"60 * "+rate(`http_request_seconds_count{app="drops",method="POST",route="/api/v1/drops/{slug}/entry"}`, "status"),
				"{{status}}"),
			one("Held and refused by inventory", "short",
				"60 * "+rate(`http_request_seconds_count{app="inventory",route=~"/internal/lots/.*"}`, "method, route, status"),
				"{{method}} {{route}} {{status}}"),
		}},
		{Name: "service", Title: "A service", PerApp: true, Panels: []Panel{
			one("Requests by route", "reqps",
				rate(`http_request_seconds_count{app=~"$app"}`, "app, method, route"), "{{app}} {{method}} {{route}}"),
			one("Part that fails", "percentunit", part("http_request_seconds_count", `app=~"$app"`, `status="5xx"`, "app"), "{{app}}"),
			one("95 of 100 are faster", "s",
				quantile("0.95", `http_request_seconds_bucket{app=~"$app"}`, "app, route"), "{{app}} {{route}}"),
			one("Problems", "reqps", rate(`problems_total{app=~"$app"}`, "app, problem"), "{{app}} {{problem}}"),
			one("Connections to PostgreSQL", "short", `sum by (app, state) (pool_connections{app=~"$app"})`, "{{app}} {{state}}"),
			{"Waiting for one", "short", []Query{
				{rate(`pool_waits_total{app=~"$app"}`, "app"), "{{app}} waits"},
				{rate(`pool_acquire_seconds_total{app=~"$app"}`, "app"), "{{app}} seconds"},
			}},
			one("Oldest event that has not left", "s", `max by (app) (outbox_lag_seconds{app=~"$app"})`, "{{app}}"),
			one("Events handled", "reqps",
				rate(`events_handled_total{app=~"$app"}`, "app, topic, outcome"), "{{app}} {{topic}} {{outcome}}"),
			one("Events that came again", "reqps", rate(`events_repeated_total{app=~"$app"}`, "app, topic"), "{{app}} {{topic}}"),
			one("Oldest event in hand", "s", `max by (app, topic) (event_in_flight_seconds{app=~"$app"})`, "{{app}} {{topic}}"),
			one("Dead letters", "short", `sum by (app, topic) (dead_letters{app=~"$app"})`, "{{app}} {{topic}}"),
			one("Told by neighbours, not applied yet", "short",
				`sum by (app) (feed_failures{app=~"$app"}) or 0 * sum by (app) (up{job="service"})`, "{{app}}"),
			one("Processors", "short", rate(`process_cpu_seconds_total{job="service",app=~"$app"}`, "instance"), "{{instance}}"),
			one("Memory", "bytes", `process_resident_memory_bytes{job="service",app=~"$app"}`, "{{instance}}"),
			one("Goroutines", "short", `go_goroutines{job="service",app=~"$app"}`, "{{instance}}"),
			one("Longest stop of the collector", "s", `go_gc_duration_seconds{job="service",app=~"$app",quantile="1"}`, "{{instance}}"),
		}},
		{Name: "sidecars", Title: "Sidecars", PerApp: true, Panels: []Panel{
			one("Requests by HTTP", "reqps", rate(`dapr_http_server_request_count{app=~"$app"}`, "app, status"), "{{app}} {{status}}"),
			one("95 of 100 are faster, ms", "ms", quantile("0.95", `dapr_http_server_latency_bucket{app=~"$app"}`, "app"), "{{app}}"),
			one("Calls to neighbours", "reqps",
				rate(`dapr_runtime_service_invocation_req_sent_total{app=~"$app"}`, "app, dst_app_id"), "{{app}} → {{dst_app_id}}"),
			one("Calls by gRPC", "reqps",
				rate(`dapr_grpc_io_server_completed_rpcs{app=~"$app"}`, "app, grpc_server_method"), "{{app}} {{grpc_server_method}}"),
			one("Events published", "reqps",
				rate(`dapr_component_pubsub_egress_count{app=~"$app"}`, "app, topic, success"), "{{app}} {{topic}} {{success}}"),
			one("Events delivered", "reqps",
				rate(`dapr_component_pubsub_ingress_count{app=~"$app"}`, "app, topic, process_status"),
				"{{app}} {{topic}} {{process_status}}"),
			one("State", "reqps",
				rate(`dapr_component_state_count{app=~"$app"}`, "app, operation, success"), "{{app}} {{operation}} {{success}}"),
			one("Calls that the access lists refuse", "reqps",
				rate(`dapr_runtime_acl_app_policy_action_blocked_total{app=~"$app"}`, "app")+` or 0 * sum by (app) (up{job="sidecar"})`,
				"{{app}}"),
			one("Memory", "bytes", `process_resident_memory_bytes{job="sidecar",app=~"$app"}`, "{{instance}}"),
			one("Days until sentry's certificate ends", "d", "(dapr_sentry_issuercert_expiry_timestamp - time()) / 86400", "days"),
		}},
		{Name: "broker", Title: "RabbitMQ", Panels: []Panel{
			one("Messages in queues", "short", "sum by (queue) (rabbitmq_detailed_queue_messages)", "{{queue}}"),
			one("Handed out, not answered", "short", "sum by (queue) (rabbitmq_detailed_queue_messages_unacked)", "{{queue}}"),
			one("Published", "reqps", rate("rabbitmq_global_messages_received_total", "protocol"), "{{protocol}}"),
			one("Delivered again", "reqps", rate("rabbitmq_global_messages_redelivered_total", "instance"), "again"),
			one("Consumers", "short", "rabbitmq_global_consumers", "{{protocol}}"),
			one("Connections", "short", "rabbitmq_connections", "connections"),
			one("Memory", "bytes", "rabbitmq_process_resident_memory_bytes", "memory"),
			one("Disk that is free", "bytes", "rabbitmq_disk_space_available_bytes", "free"),
		}},
		{Name: "stores", Title: "PostgreSQL and Redis", Panels: []Panel{
			one("Transactions", "reqps", rate("pg_stat_database_xact_commit", "datname"), "{{datname}}"),
			one("Rolled back", "reqps", rate("pg_stat_database_xact_rollback", "datname"), "{{datname}}"),
			one("Connections", "short", "sum by (datname, state) (pg_stat_activity_count)", "{{datname}} {{state}}"),
			one("Longest transaction", "s", "max by (datname) (pg_stat_activity_max_tx_duration)", "{{datname}}"),
			one("Read from memory", "percentunit",
				"pg_stat_database_blks_hit / (pg_stat_database_blks_hit + pg_stat_database_blks_read > 0)", "{{datname}}"),
			one("Rows changed", "reqps", rate("pg_stat_database_tup_updated", "datname"), "{{datname}}"),
			one("Deadlocks", "short", rate("pg_stat_database_deadlocks", "datname"), "{{datname}}"),
			one("Size", "bytes", "pg_database_size_bytes", "{{datname}}"),
			one("Redis: commands", "reqps", rate("redis_commands_processed_total", "instance"), "commands"),
			{"Redis: memory", "bytes", []Query{{"redis_memory_used_bytes", "used"}, {"redis_memory_max_bytes", "most"}}},
			one("Redis: clients", "short", "redis_connected_clients", "clients"),
			one("Disks: free", "percentunit",
				`node_filesystem_avail_bytes{fstype!="tmpfs"} / node_filesystem_size_bytes`, "{{mountpoint}}"),
		}},
		{Name: "edge", Title: "Edge", Panels: []Panel{
			one("Requests by status", "reqps", rate("gateway_requests_total", "status"), "{{status}}"),
			one("Requests by service", "reqps", rate("gateway_requests_total", "service"), "{{service}}"),
			one("Part that fails", "percentunit",
				part("gateway_requests_total", `work!="refused"`, `status=~"5.."`, "job"), "errors of ours"),
			one("Refused in a crowd", "reqps",
				rate(`gateway_requests_total{work="refused"}`, "service")+` or 0 * sum by (service) (gateway_requests_total)`,
				"{{service}}"),
			one("95 of 100 are faster", "s", quantile("0.95", "gateway_request_seconds_bucket", "work"), "{{work}}"),
			one("In hand at the edges", "short", "sum by (edge) (gateway_in_hand)", "{{edge}}"),
			one("Connections", "short", "nginx_connections", "{{state}}"),
			one("Kong: requests by status", "reqps", rate("kong_http_requests_total", "code"), "{{code}}"),
			one("Keycloak: requests", "reqps", rate(`http_server_requests_seconds_count{job="keycloak"}`, "status"), "{{status}}"),
			one("Keycloak: memory", "bytes", `sum by (area) (jvm_memory_used_bytes{job="keycloak"})`, "{{area}}"),
		}},
	}
}

// The parts of Grafana's model that are used.
type (
	object = map[string]any
	list   = []any
)

// JSON is the dashboard as Grafana imports it. It asks which Prometheus is meant.
func (d Dashboard) JSON() ([]byte, error) {
	source := object{"type": "prometheus", "uid": "${source}"}
	variables := list{object{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}}
	if d.PerApp {
		ask := `label_values(up{job="` + map[string]string{"service": "service", "sidecars": "sidecar"}[d.Name] + `"}, app)`
		variables = append(variables, object{
			"name": "app", "label": "Service", "type": "query", "datasource": source, "query": ask,
			"refresh": 2, "includeAll": true, "multi": true, "allValue": ".+", "current": object{"text": "All", "value": "$__all"},
		})
	}
	panels := list{}
	for i, p := range d.Panels {
		targets := list{}
		for j, q := range p.Queries {
			targets = append(targets, object{
				"refId": string(rune('A' + j)), "datasource": source, "expr": q.Expr, "legendFormat": q.Legend,
			})
		}
		const width, height = 8, 7 // of 24 columns
		panels = append(panels, object{
			"id": i + 1, "type": "timeseries", "title": p.Title, "datasource": source, "targets": targets,
			"gridPos":     object{"x": i % 3 * width, "y": i / 3 * height, "w": width, "h": height},
			"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": list{}},
		})
	}
	text, err := json.MarshalIndent(object{
		"uid": "stampede-" + d.Name, "title": "Stampede: " + d.Title, "tags": []string{"stampede"}, "schemaVersion": 39,
		"editable": false, "refresh": "15s", "timezone": "browser", "time": object{"from": "now-1h", "to": "now"},
		"templating": object{"list": variables}, "panels": panels,
	}, "", "  ")
	return append(text, '\n'), err
}
