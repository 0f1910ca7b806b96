-- +goose Up
-- The trace of what a mail is about: sending it goes on with that. A W3C traceparent (kit/trace); '' in rows of before.
ALTER TABLE mails ADD COLUMN traceparent text NOT NULL DEFAULT '';
