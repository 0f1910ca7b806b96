package pg

// OpenWithin is Open with another answerLimit.
var OpenWithin = open
