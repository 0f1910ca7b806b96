-- +goose Up
-- Where the carrier tells of the parcel, as it was known when it was shipped.
ALTER TABLE orders ADD COLUMN tracking_url text;
