package main

import (
	"fmt"
	"strings"

	"github.com/stampede-shop/stampede/kit/problem"
)

// ownWords is the code of what the back office itself finds wrong with a form:
// the message is for people as it is. Services' messages are for developers.
const ownWords problem.Code = ""

// wordsOf are what people read about a field, by its name and the code; then
// by the code alone.
var (
	wordsOf = map[string]map[problem.Code]string{
		"account_id":   {problem.CodeWrongFormat: "is not an id"},
		"amount_minor": {problem.CodeTooSmall: "must be more than nothing"},
		"attributes":   {problem.CodeTooMany: "must be at most 50"},
		"body": { // a file; importKind.Wrong says more
			problem.CodeWrongFormat: "must be a CSV file of the kind that is exported",
			problem.CodeNotAllowed:  "is neither UTF-8, UTF-16 nor Windows-1252: save it as “CSV UTF-8”",
		},
		"category":    {problem.CodeNotFound: "there is no such category"},
		"currency":    {problem.CodeNotAllowed: "is not the shop's currency"},
		"closes_at":   {problem.CodeTooSmall: "must be after the opening, in a draw by as long as those who are drawn have"},
		"cursor":      {problem.CodeWrongFormat: "is of another list, or too old"},
		"delta":       {problem.CodeNotAllowed: "must not be 0"},
		"description": {problem.CodeWrongFormat: "must not have control characters"},
		"initial_stock": {
			problem.CodeOutOfRange: "must be from 0 to 1000000",
			problem.CodeTooSmall:   "must be 0 or more",
			problem.CodeTooLarge:   "must be 1000000 or less",
		},
		"max_per_shopper": {
			problem.CodeOutOfRange: "must be from 1 to 20",
			problem.CodeTooSmall:   "must be 1 or more",
			problem.CodeTooLarge:   "must be 20 or less",
		},
		"options":  {problem.CodeTooMany: "must be at most 3", problem.CodeDuplicate: "must differ from each other"},
		"opens_at": {problem.CodeTooSmall: "must be after entries begin, and still to come"},
		"order_id": {problem.CodeWrongFormat: "is not an id"},
		"parent":   {problem.CodeNotFound: "there is no such category", problem.CodeNotAllowed: "must not be the category itself or below it"},
		"prequeue_at": {
			problem.CodeRequired:   "say from when shoppers can enter",
			problem.CodeNotAllowed: "nobody waits before the opening of this kind",
		},
		"price": {problem.CodeOutOfRange: "must be more than nothing, and less than ten million"},
		"sku": {
			problem.CodeDuplicate: "is there twice",
		},
		"slug": {problem.CodeWrongFormat: "must be small letters, digits and dashes"},
		"tags": {problem.CodeTooMany: "must be at most 100"},
		"weight_grams": {
			problem.CodeTooSmall: "must be 0 or more",
			problem.CodeTooLarge: "must be 1000000 or less",
		},
		"until":    {problem.CodeTooSmall: "must be after from"},
		"variants": {problem.CodeTooMany: "must be at most 250", problem.CodeDuplicate: "must differ from each other in SKU and options"},
	}
	wordsFor = map[problem.Code]string{
		problem.CodeRequired:    "must not be empty",
		problem.CodeTooShort:    "is too short",
		problem.CodeTooLong:     "is too long",
		problem.CodeTooSmall:    "is too small",
		problem.CodeTooLarge:    "is too large",
		problem.CodeTooFew:      "must be more",
		problem.CodeTooMany:     "must be fewer",
		problem.CodeDuplicate:   "is there already",
		problem.CodeNotOneOf:    "is not one of the choices",
		problem.CodeNotFound:    "is not there",
		problem.CodeWrongFormat: "must be one line of text",
	}
)

// wordsAbout are what people read about a wrong field, the one of the form
// if it is there: that knows how long it may be. Rules that only the service
// knows are told in its words.
func wordsAbout(wrong problem.FieldError, f *field) string {
	if wrong.Code == ownWords {
		return wrong.Message
	}
	name := wrong.Location[strings.LastIndexByte(wrong.Location, '.')+1:]
	if words, ok := wordsOf[name][wrong.Code]; ok {
		return words
	}
	if wrong.Code == problem.CodeTooLong && f != nil && f.Max > 0 {
		return fmt.Sprintf("must have at most %d characters", f.Max)
	}
	if words, ok := wordsFor[wrong.Code]; ok {
		return words
	}
	return wrong.Message
}
