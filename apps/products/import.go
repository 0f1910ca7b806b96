package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

const (
	maxImportBytes  = 64 << 20
	importBatch     = 250 // rows saved in one transaction
	importBatchSize = 4 << 20
	stockAtOnce     = 8 // calls to inventory
)

type importInput struct {
	rest.Upload
	SetStock bool `query:"set_stock" doc:"Quantities also set the stock of SKUs that are known, as a movement"`
}

// ImportReport is what came of a product file, row by row.
type ImportReport struct {
	Rows      []rowResult `json:"rows"`
	Created   int         `json:"created" doc:"Rows that made a product, a variant or a picture"`
	Changed   int         `json:"changed"`
	Unchanged int         `json:"unchanged"`
	Refused   int         `json:"refused"`
	Complete  bool        `json:"complete" doc:"false: the file could not be read to its end"`
	Stopped   string      `json:"stopped,omitempty" doc:"Where and why reading ended"`
}

type importOutput struct {
	ContentType string `header:"Content-Type"`
	Body        func(huma.Context)
}

// importFile takes a product file while it arrives. Neither the file nor the report is ever in memory as a
// whole: products are saved in batches, and the report waits on disk until the file has ended, because
// the sidecars between pass no answer on before the request is over.
func (s *service) importFile(ctx context.Context, in *importInput) (*importOutput, error) {
	body, err := in.Open(maxImportBytes)
	if err != nil {
		return nil, err
	}
	release, ok, err := lockImport(ctx, s.store.db)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrImportRunning
	}
	defer release()
	file, err := os.CreateTemp("", "import-*.json")
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	_ = os.Remove(file.Name()) // it lives as long as it is open
	r := &importRun{service: s, id: newID(), setStock: in.SetStock, report: bufio.NewWriterSize(file, 64<<10)}
	if err := r.run(ctx, body); err != nil {
		file.Close()
		return nil, err
	}
	return &importOutput{ContentType: "application/json", Body: func(ctx huma.Context) {
		defer file.Close()
		if _, err := file.Seek(0, io.SeekStart); err == nil {
			_, _ = io.Copy(ctx.BodyWriter(), file) // a client that is gone does not read it
		}
	}}, nil
}

// importRun is one file on its way in.
type importRun struct {
	*service
	id       uuid.UUID
	setStock bool
	report   *bufio.Writer
	total    ImportReport
	lines    int
}

func (r *importRun) run(ctx context.Context, body io.Reader) error {
	reader, err := newGroupReader(body)
	if err != nil {
		return err
	}
	_, _ = r.report.WriteString(`{"rows":[`)
	var (
		batch   [][]row
		handles = map[string]bool{}
		rows    int
		bytes   int
	)
	flush := func() error {
		defer func() { batch, rows, bytes = nil, 0, 0; clear(handles) }()
		return r.take(ctx, batch)
	}
	for {
		group, err := reader.Next()
		if errors.Is(err, io.EOF) {
			r.total.Complete = true
			break
		}
		if errors.Is(err, csvfile.ErrRowTooLong) || errors.Is(err, csvfile.ErrEncoding) {
			r.total.Stopped = err.Error()
			break
		}
		if err != nil {
			return csvfile.Unread(err)
		}
		// A product is loaded once in a batch.
		if handle := handleOf(group); handles[handle] || rows+len(group) > importBatch || bytes > importBatchSize {
			if err := flush(); err != nil {
				return err
			}
			handles[handle] = true
		} else {
			handles[handle] = true
		}
		batch = append(batch, group)
		rows += len(group)
		for _, row := range group {
			bytes += row.bytes
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return r.finish()
}

// take saves a batch in one transaction. When something in it collides with what somebody else saved in
// the meantime, each product has a transaction of its own, and only the one that collides is refused.
func (r *importRun) take(ctx context.Context, batch [][]row) error {
	if len(batch) == 0 {
		return nil
	}
	results, err := r.save(ctx, batch)
	var p *problem.Error
	if errors.As(taken(err), &p) && !p.Ours() {
		results = nil
		for _, group := range batch {
			some, err := r.save(ctx, [][]row{group})
			if reason := reasonOf(taken(err)); err != nil && reason != "" {
				some = refuseAll(group, reason)
			} else if err != nil {
				return err
			}
			results = append(results, some...)
		}
	} else if err != nil {
		return err
	}
	if err := r.tellStock(ctx, results); err != nil {
		return err
	}
	return r.write(results)
}

func refuseAll(group []row, reason string) []rowResult {
	out := make([]rowResult, len(group))
	for i, row := range group {
		out[i] = rowResult{Line: row.line, Handle: row.cells[colHandle], SKU: row.cells[colSKU], Outcome: outcomeRefused, Reason: reason}
	}
	return out
}

func (r *importRun) save(ctx context.Context, batch [][]row) (results []rowResult, err error) {
	var slugs, skus, names []string
	for _, group := range batch {
		slugs = append(slugs, handleOf(group))
		for _, row := range group {
			skus = append(skus, row.cells[colSKU])
			names = append(append(names, row.cells[colImage], row.cells[colVariantImage]), row.more...)
		}
		skus = append(skus, madeSKUs(group)...)
	}
	err = pg.InTx(ctx, r.store.db, func(tx pgx.Tx) error {
		results = results[:0]
		found, err := loadProducts(ctx, tx, bySlugLocked, slugs)
		if err != nil {
			return err
		}
		known := make(map[string]*Product, len(found))
		for _, p := range found {
			known[p.Slug] = p
		}
		owners, err := skuOwners(ctx, tx, skus)
		if err != nil {
			return err
		}
		pictures, err := loadPictures(ctx, tx, names)
		if err != nil {
			return err
		}
		tree, err := loadCategories(ctx, tx)
		if err != nil {
			return err
		}
		var changes []change
		for _, group := range batch {
			before := known[handleOf(group)]
			after := &Product{ID: newID(), Slug: handleOf(group)}
			if before != nil {
				after = before.clone()
			}
			in := intake{
				now: r.now(), digits: r.digits, setStock: r.setStock, newID: newID,
				category: func(path []string) (uuid.UUID, error) { return ensureCategory(ctx, tx, tree, path) },
				picture:  func(src string) (string, string) { return pictureSource(src, pictures, r.hosts) },
				skuTaken: func(sku string) bool {
					owner, ok := owners[strings.ToLower(sku)]
					return ok && owner != after.ID
				},
			}
			some, err := in.take(after, before == nil, group)
			if err != nil {
				return err
			}
			results = append(results, some...)
			if before != nil || after.Name != "" {
				changes = append(changes, change{before, after})
			}
			for _, v := range after.Variants {
				owners[strings.ToLower(v.SKU)] = after.ID
			}
		}
		return saveProducts(ctx, tx, changes, r.settings.Currency, r.now())
	})
	return results, err
}

// tellStock sets the stock of SKUs that inventory knows. What it refuses is in the report.
func (r *importRun) tellStock(ctx context.Context, results []rowResult) error {
	var calls errgroup.Group
	calls.SetLimit(stockAtOnce)
	for i := range results {
		out := &results[i]
		if out.setStock == nil {
			continue
		}
		calls.Go(func() error {
			err := r.inventory.setStock(ctx, out.SKU, *out.setStock, "import", "import "+r.id.String())
			var p *problem.Error
			if err == nil {
				return nil
			}
			if !errors.As(err, &p) || p.Ours() {
				return err
			}
			reason := "stock not set: " + p.Slug()
			if p.Kind() == problem.NotFound {
				reason = "stock not set: inventory has not heard of the SKU yet; import again"
			}
			if out.stockOnly {
				out.Outcome, out.Reason = outcomeRefused, reason
			} else {
				out.Notes = append(out.Notes, reason)
			}
			return nil
		})
	}
	return calls.Wait()
}

func (r *importRun) write(results []rowResult) error {
	for _, out := range results {
		data, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if r.lines++; r.lines > 1 {
			_ = r.report.WriteByte(',')
		}
		_ = r.report.WriteByte('\n')
		if _, err := r.report.Write(data); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		switch out.Outcome {
		case outcomeCreated:
			r.total.Created++
		case outcomeChanged:
			r.total.Changed++
		case outcomeUnchanged:
			r.total.Unchanged++
		default:
			r.total.Refused++
		}
	}
	return nil
}

// finish ends the report with its totals.
func (r *importRun) finish() error {
	data, err := json.Marshal(r.total)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, _ = r.report.WriteString("],\n")
	_, _ = r.report.WriteString(strings.TrimPrefix(string(data), `{"rows":null,`) + "\n")
	if err := r.report.Flush(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
