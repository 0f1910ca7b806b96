#!/bin/sh
# Fills an empty catalogue through the front, as `make up` does: pictures first, then the
# product file through the import that every shop uses. Does nothing on a shop that has
# products. Needs SHOP (the front's address), OPS_PASSWORD and the folder SEED.
set -eu

# Five minutes: after a restart of everything Keycloak takes longest to come back. What is
# sent twice is there once: pictures by their names, products by their handles.
ask() { curl --silent --show-error --fail-with-body --max-time 300 --retry 150 --retry-delay 2 --retry-max-time 300 --retry-all-errors "$@"; }

catalogue=$(ask "$SHOP/api/v1/products?limit=1")
case $catalogue in
*'"items":[{'*) echo "the catalogue has products: nothing to do"; exit 0 ;;
esac

# auth makes the account a moment after it is up.
answer=$(printf '{"email":"ops@stampede.test","password":"%s"}' "$OPS_PASSWORD" |
  ask --header 'Content-Type: application/json' --data @- "$SHOP/api/v1/auth/login")
token=$(printf %s "$answer" | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || { echo "no token in the answer to the login" >&2; exit 1; }

pictures=0
for file in "$SEED"/pictures/*; do
  ask --output /dev/null --header "Authorization: Bearer $token" --header 'Content-Type: application/octet-stream' \
    --data-binary "@$file" "$SHOP/api/v1/admin/products/pictures?name=$(basename "$file")"
  pictures=$((pictures + 1))
done
report=$(ask --header "Authorization: Bearer $token" --header 'Content-Type: text/csv' \
  --data-binary "@$SEED/products.csv" "$SHOP/api/v1/admin/products/import")
case $report in
*'"complete":true'*) ;;
*) echo "the file was not read to its end" >&2; exit 1 ;;
esac
echo "imported products.csv with $pictures pictures"
