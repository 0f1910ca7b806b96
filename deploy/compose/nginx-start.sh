#!/bin/sh
# Run by the image before its templates are filled. The file system is read-only but for
# $RUN_DIR, which is empty at every start.
set -eu
mkdir -p "$RUN_DIR"
ln -sfn /srv/stampede/html "$RUN_DIR/html"
ln -sfn /keys "$RUN_DIR/cache-keys"      # a volume: the keys outlive a restart
ln -sf /dev/stdout "$RUN_DIR/front.log"  # JSON lines, for docker compose logs
