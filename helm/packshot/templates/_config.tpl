{{/* The settings files of the two programs. The chart's own values first, then `settings`. */}}

{{/* Where the outside systems are: the same for both. Secrets come by environment. */}}
{{- define "packshot.systemSettings" -}}
{{- $v := .Values -}}
{{- $ca := ternary "/etc/packshot-ca/ca.crt" "" (ne $v.caBundle.existingSecret "") -}}
{{- $rabbitmq := dict "vhost" $v.rabbitmq.vhost "prefix" $v.rabbitmq.prefix "delivery_limit" (int $v.rabbitmq.deliveryLimit) "consumer_timeout_s" (int $v.rabbitmq.consumerTimeoutSeconds) -}}
{{- $redis := dict "prefix" $v.redis.prefix -}}
{{- if $ca -}}
{{- $_ := set $rabbitmq "ca_file" $ca -}}
{{- $_ := set $redis "ca_file" $ca -}}
{{- end -}}
{{- $system := dict "rabbitmq" $rabbitmq "redis" $redis -}}
{{- if eq $v.objectStore.type "volume" -}}
{{- $_ := set $system "objects" (dict "directory" "/var/lib/packshot") -}}
{{- else -}}
{{- $from := $v.objectStore.s3 -}}
{{- $s3 := dict "bucket" $from.bucket "path_style" $from.pathStyle -}}
{{- range $key, $text := dict "prefix" $from.prefix "region" $from.region "endpoint" $from.endpoint "public_endpoint" $from.publicEndpoint -}}
{{- if $text -}}
{{- $_ := set $s3 $key $text -}}
{{- end -}}
{{- end -}}
{{- $_ := set $system "s3" $s3 -}}
{{- end -}}
{{- toJson $system -}}
{{- end -}}

{{- define "packshot.listen" -}}
{{- printf "%s:%d" .Values.health.address (int .Values.health.port) -}}
{{- end -}}

{{- define "packshot.log" -}}
{{- toJson (dict "level" .Values.log.level "format" .Values.log.format) -}}
{{- end -}}

{{- define "packshot.schedulerSettings" -}}
{{- $settings := include "packshot.systemSettings" . | fromJson -}}
{{- $_ := set $settings "health" (dict "listen" (include "packshot.listen" .)) -}}
{{- $_ := set $settings "log" (include "packshot.log" . | fromJson) -}}
{{- $windows := dict "studio" 0 "remote" 0 "gpu" 0 "assemble" 0 -}}
{{- range $name, $pool := include "packshot.pools" . | fromJson -}}
{{- $_ := set $windows $name (include "packshot.window" $pool | int) -}}
{{- end -}}
{{- $_ := set $settings "dispatch" (dict "window" $windows) -}}
{{- mergeOverwrite $settings (deepCopy .Values.scheduler.settings) | toYaml -}}
{{- end -}}

{{/* Of (dict "root" . "name" "studio" "pool" pool). */}}
{{- define "packshot.workerSettings" -}}
{{- $pool := .pool -}}
{{- $settings := include "packshot.systemSettings" .root | fromJson -}}
{{- $_ := set $settings "health" (dict "listen" (include "packshot.listen" .root)) -}}
{{- $_ := set $settings "log" (include "packshot.log" .root | fromJson) -}}
{{- $pools := dict "studio" 0 "remote" 0 "gpu" 0 "assemble" 0 -}}
{{- $_ := set $pools .name (int $pool.concurrency) -}}
{{- $_ := set $settings "pools" $pools -}}
{{- $megabytes := include "packshot.megabytes" $pool.resources.limits.memory | int -}}
{{- $_ := set $settings "work" (dict "jobs" (int $pool.cpuJobs) "cache_mb_max" (int $pool.cacheMegabytes) "memory_mb_max" (div (mul $megabytes (int $pool.memoryPercentMax)) 100)) -}}
{{- $_ := set $settings "stop" (dict "drain_s" (int $pool.longestJobSeconds) "give_back_s" (int $pool.giveBackSeconds)) -}}
{{- mergeOverwrite $settings (deepCopy $pool.settings) | toYaml -}}
{{- end -}}
