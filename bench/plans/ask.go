package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// values are statements that read, of a service's database, what a parameter of its GET operations is tried with: what
// there is most of, and little of. "orders id" comes before "id". A parameter that is not here, and has no few values of
// its own, is an error: nobody would know how its statement fares.
var values = map[string]string{
	"auth account_id":    `SELECT account_id::text FROM accounts WHERE id = (SELECT mode() WITHIN GROUP (ORDER BY account) FROM logins)`,
	"auth email":         `SELECT unnest(ARRAY['ada', 'ada.abbott.1', 'z'])`,
	"drops id":           `SELECT id::text FROM drops`,
	"drops slug":         `SELECT slug FROM drops`,
	"drops from":         `SELECT unnest(ARRAY['0', '5000'])`,
	"inventory q":        `SELECT unnest(ARRAY['LD-', '0000012', '7-M', 'cotton shirt', 'nothingatall'])`,
	"available_below":    `SELECT unnest(ARRAY['1', '6'])`,
	"low":                `SELECT '5'`,
	"drop":               `(SELECT drop::text FROM lots LIMIT 1) UNION ALL (SELECT gen_random_uuid()::text)`,
	"inventory order_id": `SELECT order_id::text FROM order_holds WHERE state = 'sold' LIMIT 1`,
	"product_id":         `SELECT product_id::text FROM stock LIMIT 1`,
	"inventory sku":      `(SELECT sku FROM stock ORDER BY sold DESC LIMIT 1) UNION (SELECT max(sku) FROM stock WHERE cart_held > 0)`,
	"shopper":            `SELECT shopper FROM cart_holds LIMIT 1`,
	"mail id":            `SELECT id::text FROM mails ORDER BY id DESC LIMIT 1`,
	"mail order_id":      `SELECT order_id::text FROM mails ORDER BY id DESC LIMIT 1`,
	"mail kind":          `SELECT 'order-confirmed'`,
	"recipient":          `SELECT unnest(ARRAY['a', 'ada.abbott', 'ADA.ABBOTT.1'])`,
	"orders account_id":  `(SELECT account_id::text FROM orders GROUP BY 1 ORDER BY count(*) DESC LIMIT 1)`,
	"orders id":          `SELECT id::text FROM orders ORDER BY id DESC LIMIT 1`,
	"orders q":           ordersAskedFor,
	"from":               `SELECT to_char(now() - d * interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM unnest(ARRAY[1, 120]) AS d`,
	"until":              `SELECT to_char(now() - d * interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM unnest(ARRAY[1, 120]) AS d`,
	"last":               `SELECT unnest(ARRAY['60', '48'])`,
	"orders status":      `SELECT 'confirmed'`, // of the feed, as carts asks it
	"payments q":         `(SELECT unnest(ARRAY['a', 'S-', 'ada.abbott', 'nobody'])) UNION ALL (SELECT provider_ref FROM charges LIMIT 1)`,
	"payments order_id":  `SELECT order_id::text FROM refunds LIMIT 1`,
	"products id":        `SELECT id::text FROM products LIMIT 1`,
	"slug":               `SELECT slug FROM products WHERE status = 'published' LIMIT 1`,
	"category":           `SELECT slug FROM categories WHERE slug LIKE 'loaded%' ORDER BY slug LIMIT 2`,
	"products q":         `SELECT unnest(ARRAY['amber cotton shirt', 'shirt', 'shrit', '12345', 'nothingatall'])`,
	"min_price":          `SELECT unnest(ARRAY['1000', '15000'])`,
	"max_price":          `SELECT '2000'`,
	"option":             `SELECT 'Size:M'`,
	"topic":              `SELECT DISTINCT topic FROM outbox LIMIT 2`,
	"users account_id":   `SELECT account_id::text FROM addresses LIMIT 1`,
	"users id":           `SELECT id::text FROM addresses LIMIT 1`,
	"users email":        `SELECT unnest(ARRAY['a', 'ada.abbott.1'])`,
	"users q":            `SELECT unnest(ARRAY['ada abbott', 'clarke', 'load.test'])`,
	"behind":             `SELECT '120'`,
	"since":              `SELECT to_char(now() - d * interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM unnest(ARRAY[1, 120]) AS d`,
	"q":                  `SELECT unnest(ARRAY['order', 'nothing'])`, // of dead letters
}

// ordersAskedFor are what people look for orders by: numbers and addresses, and words that few, some and most have.
const ordersAskedFor = `(SELECT unnest(ARRAY['a', 'S-', 'ada.abbott', 'ada@', 'ada.abbott.1@', 'Ada Abbott', 'nobody', 'shirt',
	'cotton shirt', 'LD-0000000-M', 'LD-0012345-M', 'LD-'])) UNION ALL (SELECT number FROM orders LIMIT 1)
	UNION ALL (SELECT tracking_number FROM orders WHERE tracking_number IS NOT NULL LIMIT 1)`

// untried are parameters that no statement depends on.
var untried = []string{"If-None-Match", "cursor", "limit", "sort", "wait"}

// subjects are who asks, by service: the one about whom there is most.
var subjects = map[string]string{
	"drops":  `SELECT account_id::text FROM entries e JOIN drops d ON d.id = e.drop_id WHERE d.state = 'open' AND position = 7`,
	"orders": values["orders account_id"], "auth": values["auth account_id"], "users": values["users account_id"],
}

// operation is a GET operation of a service, as its OpenAPI document has it.
type operation struct {
	path       string
	Parameters []struct {
		Name   string
		In     string
		Schema struct {
			Enum   []any
			Type   any
			Format string
		}
	}
	Neighbours []string `json:"x-neighbours"`
}

func operations(file string) ([]operation, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]struct{ Get *operation }
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []operation
	for path, item := range document.Paths {
		if item.Get != nil {
			item.Get.path = path
			all = append(all, *item.Get)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// asker asks one service for all that it can be asked for.
type asker struct {
	root, service string
	db            *pgx.Conn
	base          string // of its API
	appToken      string
	token         string // of an administrator who is also the subject
}

// pagesDeep is how many pages of a list are read; times how often the first, so that prepared statements get the plan
// that they keep.
const (
	pagesDeep = 3
	times     = 6
	slow      = time.Second / 2 // what takes longer is not asked again
)

// all asks every GET operation: with every value of each parameter alone, in every order that there is, and with every
// two parameters together.
func (a *asker) all(ctx context.Context) error {
	list, err := operations(filepath.Join(a.root, "apps", a.service, "openapi.json"))
	if err != nil {
		return err
	}
	var failed []error
	for _, op := range list {
		if strings.HasSuffix(op.path, "/export") {
			continue // all there is, a page at a time: its tests run that
		}
		failed = append(failed, a.operation(ctx, op))
	}
	return errors.Join(failed...)
}

func (a *asker) operation(ctx context.Context, op operation) error {
	paths, sorts := []string{op.path}, []string{""}
	var queries [][]url.Values // each parameter's choices
	for _, p := range op.Parameters {
		if p.Name == "sort" {
			for _, s := range p.Schema.Enum {
				sorts = append(sorts, fmt.Sprint(s))
			}
		}
		if ignored(p.Name, p.Schema.Format) {
			continue
		}
		var choices []string
		for _, v := range p.Schema.Enum {
			choices = append(choices, fmt.Sprint(v))
		}
		if p.Schema.Type == "boolean" {
			choices = []string{"true", "false"}
		}
		if choices == nil {
			var err error
			if choices, err = a.values(ctx, op, p.Name); err != nil {
				return err
			}
		}
		if p.In == "path" {
			var with []string
			for _, path := range paths {
				for _, v := range choices {
					with = append(with, strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(v)))
				}
			}
			paths = with
			continue
		}
		var of []url.Values
		for _, v := range choices {
			of = append(of, url.Values{p.Name: {v}})
		}
		queries = append(queries, of)
	}
	var failed []error
	ask := func(sort string, parts ...url.Values) {
		query := url.Values{}
		for _, part := range parts {
			for name, v := range part {
				query[name] = v
			}
		}
		if sort != "" {
			query.Set("sort", sort)
		}
		for _, p := range op.Parameters {
			if p.Name == "limit" {
				query.Set("limit", "100")
			}
		}
		for _, path := range paths {
			failed = append(failed, a.pages(ctx, op, path, query, len(parts) > 1))
		}
	}
	for _, sort := range sorts {
		ask(sort)
		for i, one := range queries {
			for _, v := range one {
				ask(sort, v)
				if sort != "" {
					continue
				}
				for _, other := range queries[i+1:] {
					for _, w := range other {
						ask(sort, v, w)
					}
				}
			}
		}
	}
	return errors.Join(failed...)
}

// ignored tells whether no statement depends on a parameter. (A version since which an order is waited for is no time.)
func ignored(name, format string) bool {
	return slices.Contains(untried, name) || name == "since" && format != "date-time"
}

// valueOf is the statement that reads what a parameter is tried with; "" when there is none.
func valueOf(service string, op operation, name string) string {
	if sql, ok := values[service+" "+name]; ok && !strings.HasSuffix(op.path, "/dead-letters") {
		return sql
	}
	return values[name]
}

// values reads what a parameter is tried with.
func (a *asker) values(ctx context.Context, op operation, name string) ([]string, error) {
	sql := valueOf(a.service, op, name)
	if sql == "" {
		return nil, fmt.Errorf("%s GET %s: nothing to try %s with: see values", a.service, op.path, name)
	}
	rows, err := a.db.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("value of %s %s: %w", a.service, name, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("value of %s %s: %w", a.service, name, err)
	}
	return found, nil
}

// pages asks for the first pages of a list, or for what is no list, some times.
func (a *asker) pages(ctx context.Context, op operation, path string, query url.Values, pair bool) error {
	query = maps.Clone(query) // a cursor is of this path's list alone
	for page := range pagesDeep {
		var next struct {
			NextCursor string `json:"next_cursor"`
			Cursor     string `json:"cursor"`
			More       bool   `json:"more"`
		}
		for range times {
			began := time.Now()
			body, err := a.get(ctx, op, path+"?"+query.Encode(), pair)
			if err != nil {
				return err
			}
			_ = json.Unmarshal(body, &next) // an export is no JSON, and has no pages
			if page > 0 || time.Since(began) > slow {
				break
			}
		}
		cursor := next.NextCursor
		if next.More {
			cursor = next.Cursor
		}
		if cursor == "" {
			return nil
		}
		query.Set("cursor", cursor)
	}
	return nil
}

func (a *asker) get(ctx context.Context, op operation, path string, pair bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	req.Header.Set("dapr-api-token", a.appToken)
	req.Header.Set("X-Real-Ip", "192.0.2.10") // TEST-NET-1, RFC 5737
	if op.Neighbours != nil {
		req.Header.Set("dapr-caller-app-id", op.Neighbours[0])
	} else {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s GET %s: %w", a.service, path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("%s GET %s: %w", a.service, path, err)
	}
	switch took := time.Since(began); {
	case res.StatusCode == http.StatusServiceUnavailable && took < 3*time.Second: // neighbours cannot be reached
	case res.StatusCode == http.StatusUnprocessableEntity && pair: // not everything goes together
	case res.StatusCode >= 500, res.StatusCode == 422, res.StatusCode == 401, res.StatusCode == 403:
		return nil, fmt.Errorf("%s GET %s: %d after %s: %.300s", a.service, path, res.StatusCode, took.Round(time.Millisecond), body)
	}
	return body, nil
}

// subject is who asks.
func (a *asker) subject(ctx context.Context) (uuid.UUID, error) {
	sql, ok := subjects[a.service]
	if !ok {
		return uuid.New(), nil
	}
	var id string
	if err := a.db.QueryRow(ctx, sql).Scan(&id); err != nil {
		return uuid.Nil, err
	}
	return uuid.Parse(id)
}
