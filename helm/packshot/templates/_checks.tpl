{{/* Values that contradict each other by number or across sections, all told at once. What one
     section alone can get wrong is refused by values.schema.json. */}}

{{- define "packshot.checks" -}}
{{- $problems := list -}}
{{- $mode := .Values.autoscaling.mode -}}
{{- if not .Values.rabbitmq.existingSecret -}}
{{- $problems = append $problems (printf "rabbitmq.existingSecret is empty: make a Secret with the key %q (amqp://user:password@host:5672/) and name it" .Values.rabbitmq.secretKeys.url) -}}
{{- end -}}
{{- if not .Values.redis.existingSecret -}}
{{- $problems = append $problems (printf "redis.existingSecret is empty: make a Secret with the key %q (redis://user:password@host:6379/0) and name it" .Values.redis.secretKeys.url) -}}
{{- end -}}
{{- $consumed := list -}}
{{- range $name, $pool := include "packshot.pools" . | fromJson -}}
{{- if $pool.enabled -}}
{{- $consumed = append $consumed $name -}}
{{- $problems = concat $problems (include "packshot.poolChecks" (dict "name" $name "pool" $pool "root" $) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- if not $consumed -}}
{{- $problems = append $problems "no pool is enabled: set pools.studio.enabled and pools.assemble.enabled" -}}
{{- end -}}
{{- range $section, $keys := dict "health" (list "listen") "objects" (list "directory") "s3" (list "bucket" "prefix" "region" "endpoint" "public_endpoint" "path_style" "access_key_id" "secret_access_key") "rabbitmq" (list "url" "vhost" "prefix" "ca_file" "management_url" "delivery_limit" "consumer_timeout_s") "redis" (list "url" "prefix" "ca_file") "log" (list "level" "format") "dispatch" (list "window") -}}
{{- range $key := $keys -}}
{{- if hasKey (get $.Values.scheduler.settings $section | default dict) $key -}}
{{- $problems = append $problems (printf "scheduler.settings.%s.%s is written by the chart: use the chart's own value" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (lt (int .Values.scheduler.terminationGracePeriodSeconds) 30) -}}
{{- $problems = append $problems (printf "scheduler.terminationGracePeriodSeconds is %d; its loops may take 20 s to end and telemetry 5 s: at least 30" (int .Values.scheduler.terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- $lease := 60 -}}{{/* the default of policy.lease_s, with which a batch is submitted */}}
{{- $silent := dig "sweep" "silent_s" 600 .Values.scheduler.settings | int -}}
{{- if lt $silent $lease -}}
{{- $problems = append $problems (printf "scheduler.settings.sweep.silent_s (%d) is less than a lease (policy.lease_s, usually %d): messages would be sent again while their job runs" $silent $lease) -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values do not go together:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* The same for one pool, as a JSON list. */}}
{{- define "packshot.poolChecks" -}}
{{- $problems := list -}}
{{- $name := printf "pools.%s" .name -}}
{{- $pool := .pool -}}
{{- $mode := .root.Values.autoscaling.mode -}}
{{- if gt (int $pool.replicas.min) (int $pool.replicas.max) -}}
{{- $problems = append $problems (printf "%s.replicas.min (%d) is more than replicas.max (%d)" $name (int $pool.replicas.min) (int $pool.replicas.max)) -}}
{{- end -}}
{{- if and (eq $mode "hpa") (lt (int $pool.replicas.min) 1) -}}
{{- $problems = append $problems (printf "%s.replicas.min is 0, and an HPA cannot start a pool from nothing: set it to 1, or use autoscaling.mode keda" $name) -}}
{{- end -}}
{{- if and (eq $mode "hpa") (eq .name "remote") (not .root.Values.autoscaling.hpa.externalMetric) -}}
{{- $problems = append $problems (printf "%s waits for providers and uses hardly any CPU: with autoscaling.mode hpa it needs autoscaling.hpa.externalMetric, or use keda" $name) -}}
{{- end -}}
{{- if gt (int $pool.cpuJobs) (int $pool.concurrency) -}}
{{- $problems = append $problems (printf "%s.cpuJobs (%d) is more than its concurrency (%d): the rest would never run" $name (int $pool.cpuJobs) (int $pool.concurrency)) -}}
{{- end -}}
{{- if and (gt (int $pool.window) 0) (lt (int $pool.window) (int $pool.concurrency)) -}}
{{- $problems = append $problems (printf "%s.window (%d) is less than its concurrency (%d): not even one pod could be filled" $name (int $pool.window) (int $pool.concurrency)) -}}
{{- end -}}
{{- $needed := include "packshot.graceNeeded" $pool | int -}}
{{- $grace := include "packshot.grace" $pool | int -}}
{{- if lt $grace $needed -}}
{{- $problems = append $problems (printf "%s.terminationGracePeriodSeconds (%d) is less than longestJobSeconds (%d) + giveBackSeconds (%d) + 5 for telemetry: jobs would be killed; set at least %d, or 0 to have it computed" $name $grace (int $pool.longestJobSeconds) (int $pool.giveBackSeconds) $needed) -}}
{{- end -}}
{{- $timeout := int .root.Values.rabbitmq.consumerTimeoutSeconds -}}
{{- if le $timeout (int $pool.longestJobSeconds) -}}
{{- $problems = append $problems (printf "rabbitmq.consumerTimeoutSeconds (%d) is not more than %s.longestJobSeconds (%d): the broker would take running jobs back" $timeout $name (int $pool.longestJobSeconds)) -}}
{{- end -}}
{{- $megabytes := include "packshot.megabytes" (dig "limits" "memory" "" $pool.resources) | int -}}
{{- if lt $megabytes 1 -}}
{{- $problems = append $problems (printf "%s.resources.limits.memory is missing or not in Gi, Mi, G or M: the worker bounds itself by it" $name) -}}
{{- else if lt (div (mul $megabytes (int $pool.memoryPercentMax)) 100) (add (int $pool.cacheMegabytes) 128) -}}
{{- $problems = append $problems (printf "%s: %d %% of %d MB of memory does not hold cacheMegabytes (%d) and a job" $name (int $pool.memoryPercentMax) $megabytes (int $pool.cacheMegabytes)) -}}
{{- end -}}
{{- range $section, $keys := dict "pools" (list "studio" "remote" "gpu" "assemble") "work" (list "jobs" "cache_mb_max" "memory_mb_max") "stop" (list "drain_s" "give_back_s") "health" (list "listen") "objects" (list "directory") "s3" (list "bucket" "prefix" "region" "endpoint" "public_endpoint" "path_style" "access_key_id" "secret_access_key") "rabbitmq" (list "url" "vhost" "prefix" "ca_file" "management_url" "delivery_limit" "consumer_timeout_s") "redis" (list "url" "prefix" "ca_file") "log" (list "level" "format") -}}
{{- range $key := $keys -}}
{{- if hasKey (get $pool.settings $section | default dict) $key -}}
{{- $problems = append $problems (printf "%s.settings.%s.%s is written by the chart: use the chart's own value" $name $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
