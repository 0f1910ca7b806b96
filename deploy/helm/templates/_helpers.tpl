{{/* The lists of apps, edges, components and images. */}}
{{- define "shop" }}{{ .Files.Get "files/shop.json" }}{{ end }}

{{/* What is plugged in, by the name of the file in components/: the files of swap lie over the others. */}}
{{- define "components" }}
{{- $all := (include "shop" . | fromJson).components }}
{{- $by := index $all "" }}
{{- range $swap := .Values.swap }}
{{- if eq $swap "secrets-file" }}{{ fail "swap: secrets-file: in a cluster Kubernetes' Secrets are the store; leave it out" }}{{ end }}
{{- if or (not $swap) (not (hasKey $all $swap)) }}{{ fail (printf "swap: components/swaps has no %s" $swap) }}{{ end }}
{{- range $file, $component := index $all $swap }}
{{- if not (hasPrefix "components/" (index $by $file).file) }}{{ fail (printf "swap: %s and another one both replace %s" $swap $file) }}{{ end }}
{{- $_ := set $by $file $component }}
{{- end }}
{{- end }}
{{- toJson $by }}
{{- end }}

{{/* A component's type, by its role: {{ include "type" (list . "pubsub") }}. */}}
{{- define "type" }}
{{- (index (include "components" (index . 0) | fromJson) (printf "%s.yaml" (index . 1))).type }}
{{- end }}

{{/* What the sidecar of an app takes from its environment: {{ include "taken" (list . "orders") | fromJsonArray }}. */}}
{{- define "taken" }}
{{- $app := index . 1 }}{{ $names := list }}
{{- range include "components" (index . 0) | fromJson }}
{{- if has $app .scopes }}{{ $names = concat $names (.takes | default list) }}{{ end }}
{{- end }}
{{- $names | uniq | toJson }}
{{- end }}

{{/* Settings that are no secrets: what follows from other values, and over it values.settings. */}}
{{- define "settings" }}
{{- $public := required "publicUrl: where browsers find the shop, such as https://shop.example.com" .Values.publicUrl }}
{{- $keycloak := required "keycloak.address: host:port of Keycloak, plain HTTP, inside" .Values.keycloak.address }}
{{- $redis := required "redis.host: the Redis that counts for the gateway and keeps carts" .Values.redis.host }}
{{- $realm := printf "%s/realms/stampede" $public }}
{{- $all := dict
  "PUBLIC_URL" $public "ISSUER" $realm "AUDIENCE" "stampede" "JWKS_URL" "http://keys:8012/jwks"
  "KEYCLOAK_URL" (printf "http://%s" $keycloak) "KEYCLOAK_REALM" "stampede" "APP_HOST" "0.0.0.0"
  "SANDBOX_WEBHOOK_URL" (printf "http://front:%d/api/v1/payments/webhooks/sandbox" (int .Values.front.service.port))
  "TRACES_RATIO" (toString .Values.traces.ratio) "OTEL_EXPORTER_ZIPKIN_ENDPOINT" .Values.traces.zipkin
  "REDIS_HOST" (printf "%s:%d" $redis (int .Values.redis.port)) "MEDIA_DIR" "/media"
  "SMTP_HOST" (required "mail.host: the mail server" .Values.mail.host) "SMTP_PORT" (toString (int .Values.mail.port))
  "MAIL_FROM" (required "mail.from: the From of every mail" .Values.mail.from)
  "ADMIN_AUTH_URL" (printf "%s/protocol/openid-connect/auth" $realm) "ADMIN_REDIRECT_URL" (printf "%s/admin" $public)
  "ADMIN_TOKEN_URL" (printf "http://%s/realms/stampede/protocol/openid-connect/token" $keycloak) }}
{{- mergeOverwrite $all .Values.settings | toJson }}
{{- end }}

{{/* Those of one app: {{ include "settingsOf" (list . "orders") | fromJson }}. */}}
{{- define "settingsOf" }}
{{- $root := index . 0 }}
{{- mergeOverwrite (include "settings" $root | fromJson) (include "workload" . | fromJson).settings | toJson }}
{{- end }}

{{/* How many pods of what size: {{ include "workload" (list . "orders") | fromJson }}. */}}
{{- define "workload" }}
{{- $root := index . 0 }}
{{- $w := deepCopy $root.Values.each }}
{{- range $key, $value := index $root.Values.apps (index . 1) | default dict }}
{{- if kindIs "map" $value }}{{ $value = mergeOverwrite (index $w $key) (deepCopy $value) }}{{ end }}
{{- $_ := set $w $key $value }}{{/* mergeOverwrite alone would leave a 0 out */}}
{{- end }}
{{- toJson $w }}
{{- end }}

{{/* How a pod of an app ends, in seconds: until nobody calls it any more (a sidecar remembers its neighbours' addresses for
20 s, the cluster's DNS for 5), for what is in hand (kit/serve), for what its sidecar has in hand then, and when it is killed. */}}
{{- define "ending" }}{{ dict "leave" 30 "work" 15 "sidecar" 5 "grace" 60 | toJson }}{{ end }}

{{/* Connections to PostgreSQL that one pod may have: {{ include "connections" (list . "orders") }}. 2 listen, beside its pool. */}}
{{- define "connections" }}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $each := 0 }}
{{- $app := index (include "shop" $root | fromJson).apps $name | default dict }}
{{- if $app.database }}
{{- $own := include "settingsOf" . | fromJson }}
{{- $each = add (index $own (printf "%s_DATABASE_CONNECTIONS" (upper $name)) | default $app.connections | int) 2 }}
{{- end }}
{{- if has "STATE_DATABASE_URL" (include "taken" . | fromJsonArray) }}{{ $each = add $each 10 }}{{ end }}
{{- $each }}
{{- end }}

{{/* What is run in numbers: every app, every edge, kong and front. */}}
{{- define "workloads" }}
{{- $shop := include "shop" . | fromJson }}
{{- concat (keys $shop.apps | sortAlpha) (keys $shop.edges | sortAlpha) (list "kong" "front") | toJson }}
{{- end }}

{{/* The keys that the Secret must have. */}}
{{- define "secretKeys" }}
{{- $shop := include "shop" . | fromJson }}{{ $keys := list "DROPS_KEY" "REDIS_PASSWORD" }}
{{- range $name, $app := $shop.apps }}
{{- range $app.secret }}
{{- $demo := and (hasSuffix "_PASSWORD" .) (eq (index (include "settingsOf" (list $ $name) | fromJson) "DEMO_ACCOUNTS" | default "") "true") }}
{{- if and (or (has . $app.required) $demo) (not (hasSuffix "_API_TOKEN" .)) }}{{ $keys = append $keys . }}{{ end }}
{{- end }}
{{- end }}
{{- $settings := include "settings" . | fromJson }}
{{- range concat (keys $shop.apps) (keys $shop.edges) }}
{{- range include "taken" (list $ .) | fromJsonArray }}
{{- if not (hasKey $settings .) }}{{ $keys = append $keys . }}{{ end }}
{{- end }}
{{- end }}
{{- if .Values.postgres.inCluster }}
{{- $keys = append $keys "POSTGRES_PASSWORD" }}
{{- range include "databases" . | fromJsonArray }}{{ $keys = append $keys (printf "%s_DATABASE_PASSWORD" (upper .)) }}{{ end }}
{{- end }}
{{- if include "hasRabbit" . }}{{ $keys = append $keys "RABBITMQ_PASSWORD" }}{{ end }}
{{- if .Values.keycloak.inCluster }}
{{- $keys = concat $keys (list "KEYCLOAK_ADMIN_PASSWORD" "AUTH_CLIENT_SECRET" "STORE_CLIENT_SECRET" "ADMIN_CLIENT_SECRET") }}
{{- end }}
{{- if include "queues" . }}{{ $keys = append $keys "RABBITMQ_MANAGEMENT_URL" }}{{ end }}
{{- $keys | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The databases of a PostgreSQL in the cluster. */}}
{{- define "databases" }}
{{- $names := list "keycloak" "state" }}
{{- range $name, $app := (include "shop" . | fromJson).apps }}{{ if $app.database }}{{ $names = append $names $name }}{{ end }}{{ end }}
{{- toJson $names }}
{{- end }}

{{/* Something when RabbitMQ runs in the cluster, and when KEDA asks it how long its queues are. */}}
{{- define "hasRabbit" }}{{ if and .Values.rabbitmq.inCluster (eq (include "type" (list . "pubsub")) "pubsub.rabbitmq") }}yes{{ end }}{{ end }}
{{/* Something when the mail catcher runs in the cluster: a component speaks SMTP to it. */}}
{{- define "hasMaildev" }}{{ if and .Values.mail.inCluster (has (include "type" (list . "mail")) (list "bindings.mailer" "bindings.smtp")) }}yes{{ end }}{{ end }}
{{- define "queues" }}{{ if and .Values.keda.enabled (eq (include "type" (list . "pubsub")) "pubsub.rabbitmq") }}yes{{ end }}{{ end }}
{{/* Something when pictures are in a folder. */}}
{{- define "folder" }}{{ if eq (include "type" (list . "media")) "bindings.localstorage" }}yes{{ end }}{{ end }}
{{/* Something when who scales a workload is not its Deployment: {{ include "scaled" (list . "orders") }}. */}}
{{- define "scaled" }}{{ $w := include "workload" . | fromJson }}{{ if gt (int $w.max) (int $w.min) }}yes{{ end }}{{ end }}

{{- define "image" }}{{ $root := index . 0 }}
{{- printf "%s/%s:%s" (required "images.repository: where the shop's images are" $root.Values.images.repository) (index . 1)
  (required "images.tag: their version" $root.Values.images.tag) }}
{{- end }}

{{/* An environment variable from the Secret: {{ include "fromSecret" (list . "HASH_KEY") }}. */}}
{{- define "fromSecret" -}}
{name: {{ index . 1 }}, valueFrom: {secretKeyRef: {name: {{ (index . 0).Values.secrets.name }}, key: {{ index . 1 }}}}}
{{- end }}
{{- define "fromToken" -}}
{name: {{ index . 0 }}, valueFrom: {secretKeyRef: {name: {{ index . 1 }}-token, key: token}}}
{{- end }}

{{/* Labels, {{ include "labels" (list . "orders" "service") }}; the selector is by name alone. */}}
{{- define "labels" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/component: {{ index . 2 }}
app.kubernetes.io/part-of: stampede
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* What holds for every pod, {{ include "pod" (list . 65532 65532) }}, and for every container. Service links would fill
the environment with KONG_… and REDIS_…. */}}
{{- define "pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ index . 1 }}
  runAsGroup: {{ index . 2 }}
  fsGroup: {{ index . 2 }}
  fsGroupChangePolicy: OnRootMismatch # a server's own files keep the modes that it demands
  seccompProfile: {type: RuntimeDefault}
{{- with (index . 0).Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- define "container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
{{- end }}

{{/* Pods of one kind on different machines and in different zones, where there are some. */}}
{{- define "spread" -}}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {app.kubernetes.io/name: {{ $ }}}}
{{- end }}
{{- end }}

{{/* Four fifths of a limit of memory, for Go's collector. */}}
{{- define "goMemory" }}{{ printf "%dMiB" (div (mul (trimSuffix "Mi" .limits.memory | int) 4) 5) }}{{ end }}

{{/* What all sidecars read. */}}
{{- define "dapr" }}
{{- range include "components" . | fromJson }}
---
{{ $.Files.Get (printf "files/%s" .file) }}
{{- end }}
{{- range $path, $_ := .Files.Glob "files/dapr/*.yaml" }}
---
{{ tpl ($.Files.Get $path) $ }}
{{- end }}
{{- end }}

{{/* Which servers an app's pod reaches, as labels that network policies go by: {{ include "reaches" (list . "orders") }}. */}}
{{- define "reaches" }}
{{- $root := index . 0 }}{{ $name := index . 1 }}
{{- $app := index (include "shop" $root | fromJson).apps $name | default dict }}
{{- $taken := include "taken" . | fromJsonArray }}
{{- range $server, $does := dict
  "postgres" (or $app.database (has "STATE_DATABASE_URL" $taken) (eq $name "migrate"))
  "redis" (or (has "REDIS_HOST" $taken) (eq $name "kong"))
  "rabbitmq" (has "RABBITMQ_URL" $taken)
  "maildev" (has "SMTP_HOST" $taken)
  "keycloak" (or (has "KEYCLOAK_URL" ($app.settings | default list)) (has "ADMIN_TOKEN_URL" $taken) (eq $name "front")) }}
stampede.shop/{{ $server }}: {{ $does | default false | quote }}
{{- end }}
{{- end }}

{{/* A server's volume: {{ include "claim" (list . "8Gi") }}. */}}
{{- define "claim" -}}
- metadata: {name: data}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with (index . 0).Values.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources: {requests: {storage: {{ index . 1 }}}}
{{- end }}
