package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// categories are twenty, with ten below each.
const categories = 20 * 11

func category(c int) (id uuid.UUID, slug, name string, parent *uuid.UUID) {
	d := draw(drawProduct, -1-c, 0)
	id = uuid4(d, draw(drawProduct, -1-c, 1))
	if c < 20 {
		return id, fmt.Sprintf("loaded-%d", c), "Department " + fmt.Sprint(c+1), nil
	}
	above, _, _, _ := category((c - 20) / 10)
	return id, fmt.Sprintf("loaded-%d-%d", (c-20)/10, c%10), fmt.Sprintf("%s %d", things[c%len(things)], c), &above
}

func (l *loader) products() error {
	// What search compares is made by the database, as the service does.
	if _, err := l.tx.Exec(l.ctx, `
		CREATE TEMPORARY TABLE loaded (id uuid, slug text, name text, vendor text, category_id uuid, description text,
			attributes jsonb, status text,
			published_at timestamptz, at timestamptz, price bigint, in_stock boolean, named text, sorted text,
				labelled text) ON COMMIT DROP`); err != nil {
		return err
	}
	err := l.copy(
		into{"categories", "id slug name parent_id", func(yield func([]any) bool) {
			for c := range categories {
				id, slug, name, parent := category(c)
				if !yield([]any{id, slug, name, parent}) {
					return
				}
			}
		}},
		into{"loaded", "id slug name vendor category_id description attributes status published_at at price in_stock named sorted labelled",
			l.things(func(p int, t thing) []any {
				id, _, name, _ := category(20 + int(draw(drawProduct, p, 3)%200))
				published := &t.at
				if t.status == "draft" {
					published = nil
				}
				return []any{t.id, t.slug, t.name, t.vendor, id, "<p>" + t.name + ", made to be used every day.</p>",
					map[string]string{"Made in": "Portugal"},
					t.status, published, t.at, t.price, l.stock(2*p).free > 0 || l.stock(2*p+1).free > 0,
					strings.ToLower(t.name), strings.ToLower(t.vendor + " " + name),
					strings.ToLower("m l " + SKU(2*p) + " " + SKU(2*p+1) + " loaded")}
			})})
	if err != nil {
		return err
	}
	again, err := l.strip([]string{"products"})
	if err != nil {
		return err
	}
	if _, err := l.tx.Exec(l.ctx, `
		INSERT INTO products (id, slug, name, description, vendor, category_id, tags, option_names, attributes, status, version,
			published_at,
			created_at, updated_at, price, in_stock, search)
		SELECT id, slug, name, description, vendor, category_id, '{loaded}', '{Size}', attributes, status, 1, published_at, at,
			at, price, in_stock,
			setweight(to_tsvector('english', named), 'A') || setweight(to_tsvector('english', sorted), 'B') ||
			setweight(to_tsvector('english', labelled), 'C') || setweight(to_tsvector('english', named ||
				' made to be used every day portugal'), 'D')
		FROM loaded`); err != nil {
		return err
	}
	for _, sql := range again {
		if _, err := l.tx.Exec(l.ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	err = l.copy(
		into{"variants", "sku product_id position options price max_per_shopper initial_stock image in_stock stock_number",
			func(yield func([]any) bool) {
				for s := range 2 * l.Products {
					var most *int
					if n := limit(s); n > 0 {
						most = &n
					}
					if !yield([]any{SKU(s), l.thing(s / 2).id, s % 2, []string{variantNames[s%2]}, l.price(s), most, 10, "",
						l.stock(s).free > 0, int64(1)}) {
						return
					}
				}
			}},
		into{"images", "id product_id position url alt", l.things(func(p int, t thing) []any {
			return []any{uuid7(t.at, 1, draw(drawProduct, p, 4)), t.id, 0, t.image(), t.name}
		})})
	if err != nil {
		return err
	}
	if _, err := l.tx.Exec(l.ctx, `INSERT INTO words (word) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING`,
		strings.Fields(strings.ToLower(strings.Join(slices.Concat(adjectives, materials, things, lastNames,
			[]string{"loaded portugal"}), " ")))); err != nil {
		return err
	}
	_, err = l.tx.Exec(l.ctx, `UPDATE catalogue SET version = version + 1`)
	return err
}

// things are rows made of each product.
func (l *loader) things(row func(p int, t thing) []any) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for p := range l.Products {
			if !yield(row(p, l.thing(p))) {
				return
			}
		}
	}
}

// each makes rows of each shopper.
func (l *loader) each(row func(i int, s Shopper) []any) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for i := range l.shoppers {
			if !yield(row(i, l.shopper(i))) {
				return
			}
		}
	}
}

func (l *loader) users() error {
	return l.copy(
		into{"profiles", "account_id email first_name last_name told_at created_at changed_at standing_at",
			l.each(func(_ int, s Shopper) []any {
				return []any{s.ID, s.Email, s.FirstName, s.LastName, s.at, s.at, s.at, s.at.Add(time.Minute)}
			})},
		into{"addresses", "id account_id name line1 line2 city region postal_code country created_at", l.each(func(i int, s Shopper) []any {
			a := s.address()
			at := s.at.Add(time.Hour)
			return []any{uuid7(at, 2, draw(drawShopper, i, 5)), s.ID, a.Name, a.Line1, a.Line2, a.City, a.Region, a.PostalCode,
				a.Country, at}
		})})
}

// auth gets accounts of which Keycloak has never heard: nobody can log in to them.
func (l *loader) auth() error {
	return l.copy(
		into{"accounts", "id account_id email first_name last_name status created_at verified_at activated_at lease_until",
			l.each(func(_ int, s Shopper) []any {
				verified := s.at.Add(time.Minute)
				return []any{s.row, s.ID, s.Email, s.FirstName, s.LastName, "active", s.at, verified, verified, s.at}
			})},
		into{"logins", "id account email address user_agent outcome at", func(yield func([]any) bool) {
			for i := range l.Orders / 2 { // before every second order
				o := l.order(2 * i)
				s, at := l.shopper(o.shopper), o.placed.Add(-10*time.Minute)
				outcome := "success"
				if i%20 == 0 {
					outcome = "failed"
				}
				address := fmt.Sprintf("198.51.100.%d", o.shopper%256) // TEST-NET-2, RFC 5737
				if !yield([]any{uuid7(at, uint64(i), draw(drawOrder, o.i, 4)), s.row, s.Email, address, "Mozilla/5.0", outcome, at}) {
					return
				}
			}
		}})
}

// object is v as JSON.
func object(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic("load: " + err.Error()) // only structs of ours get here
	}
	return data
}
