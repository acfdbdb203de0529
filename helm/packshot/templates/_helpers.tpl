{{/* Names, labels and small computations that several objects share. */}}

{{- define "packshot.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What every object's name begins with; leaves room for `-worker-assemble`. */}}
{{- define "packshot.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "packshot.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select pods. They hold no version, because selectors cannot be changed. */}}
{{- define "packshot.selector" -}}
app.kubernetes.io/name: {{ include "packshot.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "packshot.labels" -}}
{{ include "packshot.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: packshot
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: no versions, so that a new chart alone restarts nothing. */}}
{{- define "packshot.podLabels" -}}
{{ include "packshot.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "packshot.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "packshot.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Image of (dict "root" . "image" scheduler.image). */}}
{{- define "packshot.image" -}}
{{- $name := .image.repository -}}
{{- if .root.Values.image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) $name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* All pools as JSON: what the pool says on top of what every worker has. */}}
{{- define "packshot.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.pools -}}
{{- $_ := set $pools $name (mergeOverwrite (deepCopy $.Values.worker) (deepCopy ($own | default dict))) -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{- define "packshot.workerName" -}}
{{- printf "%s-worker-%s" (include "packshot.fullname" .root) .name -}}
{{- end -}}

{{- define "packshot.poolSelector" -}}
{{ include "packshot.selector" .root }}
app.kubernetes.io/component: worker
packshot/pool: {{ .name }}
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL that a pool needs: jobs end, or are given back; telemetry
     is flushed (5 s at the most); the rest is for whoever is slow. */}}
{{- define "packshot.graceNeeded" -}}
{{- add .longestJobSeconds .giveBackSeconds 5 -}}
{{- end -}}

{{- define "packshot.grace" -}}
{{- if gt (int .terminationGracePeriodSeconds) 0 -}}
{{- int .terminationGracePeriodSeconds -}}
{{- else -}}
{{- add (include "packshot.graceNeeded" . | int) 15 -}}
{{- end -}}
{{- end -}}

{{/* Messages of a pool that wait in its queue at most. */}}
{{- define "packshot.window" -}}
{{- if not .enabled -}}0
{{- else if gt (int .window) 0 -}}{{ int .window }}
{{- else -}}{{ max 16 (mul (int .concurrency) (int .replicas.max)) }}
{{- end -}}
{{- end -}}

{{/* A memory quantity in megabytes (2^20); 0 where there is none or it cannot be read. */}}
{{- define "packshot.megabytes" -}}
{{- $text := . | toString -}}
{{- if regexMatch "^[0-9]+Gi$" $text -}}{{ mul (trimSuffix "Gi" $text | int64) 1024 }}
{{- else if regexMatch "^[0-9]+Mi$" $text -}}{{ trimSuffix "Mi" $text | int64 }}
{{- else if regexMatch "^[0-9]+G$" $text -}}{{ div (mul (trimSuffix "G" $text | int64) 1000000000) 1048576 }}
{{- else if regexMatch "^[0-9]+M$" $text -}}{{ div (mul (trimSuffix "M" $text | int64) 1000000) 1048576 }}
{{- else if regexMatch "^[0-9]+$" $text -}}{{ div (int64 $text) 1048576 }}
{{- else -}}0
{{- end -}}
{{- end -}}

{{/* The port of a URL: the one named, else the scheme's. */}}
{{- define "packshot.urlPort" -}}
{{- $url := urlParse . -}}
{{- if regexMatch ":[0-9]+$" $url.host -}}
{{- regexFind "[0-9]+$" $url.host -}}
{{- else if eq $url.scheme "https" -}}443
{{- else -}}80
{{- end -}}
{{- end -}}
