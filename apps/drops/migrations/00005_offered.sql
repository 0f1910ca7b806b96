-- +goose Up
-- When who stood by was served, and how many units: so that it can be told whether anybody was passed over.
ALTER TABLE claims ADD COLUMN offered_at timestamptz, ADD COLUMN offered bigint NOT NULL DEFAULT 0;
