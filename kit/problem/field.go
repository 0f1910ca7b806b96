package problem

// FieldError names one wrong field, never the value that was sent.
type FieldError struct {
	Location string `json:"location"` // such as "body.address.city"
	Code     Code   `json:"code"`
	Message  string `json:"message"` // in English, for developers; it may change
}

// Code says in one word what is wrong with a field. The words stay, so that
// programs can choose their own for people by them.
type Code string

// The codes.
const (
	CodeRequired    Code = "required"     // missing or empty
	CodeTooShort    Code = "too-short"    // a text
	CodeTooLong     Code = "too-long"     // a text
	CodeTooSmall    Code = "too-small"    // a number, or a time
	CodeTooLarge    Code = "too-large"    // a number, or a time
	CodeOutOfRange  Code = "out-of-range" // a number, too small or too large
	CodeTooFew      Code = "too-few"      // things in a list
	CodeTooMany     Code = "too-many"     // things in a list
	CodeDuplicate   Code = "duplicate"    // there already, or twice
	CodeNotOneOf    Code = "not-one-of"   // the values that there are
	CodeNotFound    Code = "not-found"    // what it names
	CodeNotAllowed  Code = "not-allowed"  // well written, and against a rule
	CodeWrongFormat Code = "wrong-format" // a text of another form
	CodeWrongType   Code = "wrong-type"   // a text for a number, and the like
	CodeUnknown     Code = "unknown"      // no such field
	CodeInvalid     Code = "invalid"      // anything else
)
