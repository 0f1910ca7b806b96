-- +goose Up
-- The back office looks for payments by how the order's number or the e-mail address begin, or by the provider's id.
CREATE INDEX charges_number_begins ON charges (number text_pattern_ops);
CREATE INDEX charges_email_begins ON charges (email text_pattern_ops);
CREATE INDEX charges_provider_ref ON charges (provider_ref);
