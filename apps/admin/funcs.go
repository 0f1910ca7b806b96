package main

import (
	"html/template"
	"strings"
)

// funcs are what templates may call besides kit's.
var funcs = template.FuncMap{
	"sent":    func(action string) string { return with(action, "sent", "1") },
	"words":   words,
	"told":    sentence,
	"tone":    tone,
	"refusal": func(problem, detail string) refusal { return refusal{problem, detail} },
	// indent sets a text in; a style would be one in the page, which the policy refuses.
	"indent": func(depth int) string { return strings.Repeat("\u00a0", 4*depth) },
}

// refusal is what the part "problem" says: over a form, or in place of a list.
type refusal struct{ Problem, Detail string }

// named are statuses whose name does not say enough, or too much.
var named = map[string]string{
	"confirmed": "to ship", "refund_pending": "refund under way", "partially_refunded": "partly refunded", "attempted": "under way",
	"prequeue": "entries open", "drawing": "being drawn", "all_held": "all held", "first-come": "first come", "sold_out": "sold out",
	"pending": "pending", "creating": "being created", "ending": "being removed",
}

// words says a status for people.
func words(s string) string {
	if w, ok := named[s]; ok {
		return w
	}
	return strings.NewReplacer("_", " ", "-", " ").Replace(s)
}

// tone is the colour of a status: good, bad, warn (somebody should look), or
// quiet.
func tone(s string) string {
	switch s {
	case "delivered", "captured", "sent", "active", "published", "done", "success", "enough", "in stock", "created",
		"open", "prequeue", "drawing":
		return "good"
	case "cancelled", "failed", "suspended", "out", "refused", "dead":
		return "bad"
	case "confirmed", "low", "pending", "unknown", "refund_pending", "queued", "requested", "attempted", "none", "changed",
		"paused", "all_held":
		return "warn"
	case "shipped", "refunded", "partially_refunded", "draft", "scheduled":
		return "blue"
	}
	return "quiet"
}
