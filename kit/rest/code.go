package rest

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/stampede-shop/stampede/kit/problem"
)

// codes tell by how a message of huma begins what is wrong with the field: its
// errors have nothing but their text. The first that fits counts, so "expected
// string" comes after what it begins. What huma says of parameters is not among
// its constants (its Register and parseInto).
var codes = []struct {
	begins string
	code   problem.Code
}{
	{upToValue(validation.MsgUnexpectedProperty), problem.CodeUnknown},
	{"unknown query parameter", problem.CodeUnknown},
	{upToValue(validation.MsgExpectedRequiredProperty), problem.CodeRequired},
	{upToValue(validation.MsgExpectedDependentRequiredProperty), problem.CodeRequired},
	{"required ", problem.CodeRequired}, // query parameter is missing
	{upToValue(validation.MsgExpectedMinLength), problem.CodeTooShort},
	{upToValue(validation.MsgExpectedMaxLength), problem.CodeTooLong},
	{upToValue(validation.MsgExpectedMinimumNumber), problem.CodeTooSmall},
	{upToValue(validation.MsgExpectedMaximumNumber), problem.CodeTooLarge},
	{upToValue(validation.MsgExpectedExclusiveMinimumNumber), problem.CodeTooSmall},
	{upToValue(validation.MsgExpectedExclusiveMaximumNumber), problem.CodeTooLarge},
	{upToValue(validation.MsgExpectedMinItems), problem.CodeTooFew},
	{upToValue(validation.MsgExpectedMaxItems), problem.CodeTooMany},
	{upToValue(validation.MsgExpectedMinProperties), problem.CodeTooFew},
	{upToValue(validation.MsgExpectedMaxProperties), problem.CodeTooMany},
	{upToValue(validation.MsgExpectedArrayItemsUnique), problem.CodeDuplicate},
	{upToValue(validation.MsgExpectedOneOf), problem.CodeNotOneOf},
	{"expected string to be ", problem.CodeWrongFormat}, // a format, or a pattern with a description
	{upToValue(validation.MsgExpectedMatchPattern), problem.CodeWrongFormat},
	{upToValue(validation.MsgExpectedDuration), problem.CodeWrongFormat},
	{"invalid date/time", problem.CodeWrongFormat},
	{"invalid url", problem.CodeWrongFormat},
	{"invalid value", problem.CodeWrongFormat}, // of a type that reads itself, such as a UUID
	{upToValue(validation.MsgExpectedNumberBeMultipleOf), problem.CodeInvalid},
	{validation.MsgExpectedBoolean, problem.CodeWrongType},
	{validation.MsgExpectedNumber, problem.CodeWrongType},
	{validation.MsgExpectedInteger, problem.CodeWrongType},
	{validation.MsgExpectedString, problem.CodeWrongType},
	{validation.MsgExpectedArray, problem.CodeWrongType},
	{validation.MsgExpectedObject, problem.CodeWrongType},
	{"invalid integer", problem.CodeWrongType},
	{"invalid float", problem.CodeWrongType},
	{"invalid boolean", problem.CodeWrongType},
}

// upToValue is a message as far as it is always the same.
func upToValue(format string) string {
	fixed, _, _ := strings.Cut(format, "%")
	return fixed
}

// codeOf tells what one of huma's errors is about. A text that is empty and
// must not be is missing, for people.
func codeOf(d *huma.ErrorDetail) problem.Code {
	code := problem.CodeInvalid
	for _, c := range codes {
		if strings.HasPrefix(d.Message, c.begins) {
			code = c.code
			break
		}
	}
	if text, ok := d.Value.(string); ok && text == "" && (code == problem.CodeTooShort || code == problem.CodeWrongFormat) {
		return problem.CodeRequired
	}
	return code
}
