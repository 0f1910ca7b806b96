-- +goose Up
-- Recipients are looked for by how they begin.
DROP INDEX mails_recipient;
CREATE INDEX mails_recipient ON mails (lower(recipient) text_pattern_ops, id DESC);
