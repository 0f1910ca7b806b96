package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	kitauth "github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

const (
	maxImportBytes = 64 << 20
	importBatch    = 200 // orders saved by one statement
	ownersAtOnce   = 500 // addresses that auth is asked about
)

// importRoutes declares what is done with the orders of a shop before this one.
func (s *service) importRoutes(api huma.API) {
	const admin = "/api/v1/admin/orders"
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/orders/imported", "List one's orders of the shop before this one, newest first",
		rest.User, rest.Describe("Those that were placed with the e-mail address of the account.")), s.listOwnImported)
	rest.Handle(api, rest.Op(http.MethodPost, admin+"/import", "Import the orders of another shop", rest.Admin, rest.Uploads("text/csv"),
		rest.Describe("The CSV of orders that Shopify exports, as the body or as the file of a form, up to 64 MiB. They are history: "+
			"nothing is held, charged, sent or counted for them. The same file again changes nothing; an order that has changed is "+
			"changed.")), s.importOrders)
	rest.Handle(api, rest.Op(http.MethodGet, admin+"/imported", "List imported orders", rest.Admin), s.adminListImported)
	rest.Handle(api, rest.Op(http.MethodGet, admin+"/imported/{id}", "Read an imported order", rest.Admin,
		rest.Problems(ErrImportedNotFound)), s.adminGetImported)
}

type importOutput struct{ Body csvfile.Report }

// errNotOrders: the file has not the columns of a file of orders.
var errNotOrders = problem.InvalidField("body", problem.CodeWrongFormat,
	"must be a CSV file with the columns that Shopify exports of orders; Name, Created at, Currency, Total or Lineitem name is missing")

// importOrders keeps the orders of another shop's file.
func (s *service) importOrders(ctx context.Context, in *struct{ rest.Upload }) (*importOutput, error) {
	body, err := in.Open(maxImportBytes)
	if err != nil {
		return nil, err
	}
	table, err := csvfile.Open(body, isOrders, errNotOrders)
	if err != nil {
		return nil, err
	}
	at := csvfile.Find(table.Header, importedColumns)
	out := &importOutput{csvfile.Report{Rows: []csvfile.Row{}}}
	var orders []Imported
	var rows []csvfile.Row
	save := func() error {
		done, err := s.store.SaveImported(ctx, orders, s.now())
		if err != nil {
			return err
		}
		for _, row := range rows {
			if outcome, ok := done[row.Name]; row.Outcome == csvfile.Created && ok {
				row.Outcome = outcome
			} else if row.Outcome == csvfile.Created {
				row.Outcome = csvfile.Unchanged
			}
			out.Body.Add(row)
		}
		orders, rows = nil, nil
		return nil
	}
	var group []csvfile.Record // of one order
	take := func() error {
		if len(group) == 0 {
			return nil
		}
		o, row := ReadImported(group, at)
		group = nil
		if slices.ContainsFunc(orders, func(other Imported) bool { return other.Number == row.Name && row.Name != "" }) {
			row.Outcome, row.Reason = csvfile.Refused, "the rows of the order do not stand together"
		}
		if row.Outcome == csvfile.Created {
			if o.ID, err = uuid.NewV7(); err != nil {
				return err
			}
			orders = append(orders, o)
		}
		if rows = append(rows, row); len(rows) < importBatch {
			return nil
		}
		return save()
	}
	out.Body.Stopped, err = table.Each(func(rec csvfile.Record) error {
		// What is no row is noted with the order that it stands in.
		same := len(group) > 0 && (rec.Refused != "" || group[0].Refused == "" && rec.Cells[at["name"]] == group[0].Cells[at["name"]])
		if same && len(group) > maxImportedLines { // it is refused
			return nil
		}
		if !same {
			if err := take(); err != nil {
				return err
			}
		}
		group = append(group, rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out.Body.Complete = out.Body.Stopped == ""; !out.Body.Complete {
		group = nil // it may lack its end
	}
	if err := take(); err != nil {
		return nil, err
	}
	return out, save()
}

type importedListOutput struct{ Body rest.List[Imported] }

func (s *service) listOwnImported(ctx context.Context, in *struct{ rest.Page }) (*importedListOutput, error) {
	found, next, err := s.store.OwnImported(ctx, kitauth.Must(ctx).ID, in.Page)
	if err != nil {
		return nil, err
	}
	out := &importedListOutput{rest.List[Imported]{Items: []Imported{}, NextCursor: next}}
	for _, r := range found {
		out.Body.Items = append(out.Body.Items, r.order())
	}
	return out, nil
}

// adminImported is an imported order as administrators see it.
type adminImported struct {
	Imported
	AccountID *uuid.UUID `json:"account_id" format:"uuid" nullable:"true" doc:"Whose it is; null: nobody has proved its e-mail address yet"`
	Forgotten bool       `json:"forgotten" doc:"Who placed it has deleted the account: only country and state are left of the address"`
}

func (r importedRow) admin() adminImported { return adminImported{r.order(), r.AccountID, r.Forgotten} }

type adminImportedListOutput struct{ Body rest.List[adminImported] }

func (s *service) adminListImported(ctx context.Context, in *struct {
	rest.Page
	Query string `query:"q" maxLength:"254" doc:"A number, or how an e-mail address begins, with its @"`
	Sort  string `query:"sort" enum:"newest,oldest" default:"newest"`
}) (*adminImportedListOutput, error) {
	found, next, err := s.store.ListImported(ctx, strings.TrimSpace(in.Query), in.Sort, in.Page)
	if err != nil {
		return nil, err
	}
	out := &adminImportedListOutput{rest.List[adminImported]{Items: []adminImported{}, NextCursor: next}}
	for _, r := range found {
		out.Body.Items = append(out.Body.Items, r.admin())
	}
	return out, nil
}

type adminImportedOutput struct{ Body adminImported }

func (s *service) adminGetImported(ctx context.Context, in *OrderPath) (*adminImportedOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, ErrImportedNotFound
	}
	r, err := s.store.Imported(ctx, id)
	return &adminImportedOutput{r.admin()}, err
}

// findOwners asks auth whose the imported orders are that came since.
func (s *service) findOwners(ctx context.Context) error {
	return inBatches(ctx, ownersAtOnce, func(ctx context.Context, size int) (int, error) {
		due, err := s.store.DueImported(ctx, size)
		if err != nil || len(due) == 0 {
			return 0, err
		}
		var emails []string
		for _, o := range due {
			emails = append(emails, o.Email)
		}
		slices.Sort(emails)
		owners, err := s.auth.owners(ctx, slices.Compact(emails))
		if err != nil {
			return 0, err
		}
		return len(due), s.store.OwnersKnown(ctx, due, owners)
	})
}
