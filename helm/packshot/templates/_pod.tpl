{{/* Parts of pods: security, environment, probes, volumes. */}}

{{- define "packshot.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "packshot.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "packshot.secretEnv" -}}
- name: {{ .env }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key | quote }}
{{- end -}}

{{/* Environment of (dict "root" . "service" "packshot-worker"). */}}
{{- define "packshot.env" -}}
{{- $v := .root.Values -}}
{{ include "packshot.secretEnv" (dict "env" "PACKSHOT__RABBITMQ__URL" "secret" $v.rabbitmq.existingSecret "key" $v.rabbitmq.secretKeys.url) }}
{{- if $v.rabbitmq.secretKeys.managementUrl }}
{{ include "packshot.secretEnv" (dict "env" "PACKSHOT__RABBITMQ__MANAGEMENT_URL" "secret" $v.rabbitmq.existingSecret "key" $v.rabbitmq.secretKeys.managementUrl) }}
{{- end }}
{{ include "packshot.secretEnv" (dict "env" "PACKSHOT__REDIS__URL" "secret" $v.redis.existingSecret "key" $v.redis.secretKeys.url) }}
{{- if and (eq $v.objectStore.type "s3") $v.objectStore.s3.existingSecret }}
{{ include "packshot.secretEnv" (dict "env" "PACKSHOT__S3__ACCESS_KEY_ID" "secret" $v.objectStore.s3.existingSecret "key" $v.objectStore.s3.secretKeys.accessKeyId) }}
{{ include "packshot.secretEnv" (dict "env" "PACKSHOT__S3__SECRET_ACCESS_KEY" "secret" $v.objectStore.s3.existingSecret "key" $v.objectStore.s3.secretKeys.secretAccessKey) }}
{{- end }}
- name: K8S_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: K8S_NAMESPACE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: K8S_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_SERVICE_NAME
  value: {{ .service }}
# References of variables above; the order matters.
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.instance.id=$(K8S_NAMESPACE_NAME).$(K8S_POD_NAME),k8s.pod.name=$(K8S_POD_NAME),k8s.namespace.name=$(K8S_NAMESPACE_NAME),k8s.node.name=$(K8S_NODE_NAME)
- name: OTEL_METRICS_EXPORTER
  value: {{ $v.telemetry.metrics }}
- name: OTEL_TRACES_EXPORTER
  value: {{ ternary "otlp" "none" (ne $v.telemetry.otlpEndpoint "") }}
{{- if $v.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $v.telemetry.otlpEndpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $v.telemetry.otlpProtocol }}
- name: OTEL_TRACES_SAMPLER
  value: {{ $v.telemetry.sampler }}
{{- if $v.telemetry.samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $v.telemetry.samplerArg | quote }}
{{- end }}
{{- if $v.telemetry.existingSecret }}
{{ include "packshot.secretEnv" (dict "env" "OTEL_EXPORTER_OTLP_HEADERS" "secret" $v.telemetry.existingSecret "key" $v.telemetry.secretKeys.headers) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "packshot.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* Volumes of (dict "root" . "config" name-of-configmap). */}}
{{- define "packshot.volumes" -}}
- name: config
  configMap:
    name: {{ .config }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .root.Values.caBundle }}
{{- if .existingSecret }}
- name: ca
  secret:
    secretName: {{ .existingSecret }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{- if eq .root.Values.objectStore.type "volume" }}
- name: objects
  persistentVolumeClaim:
    claimName: {{ .root.Values.objectStore.volume.existingClaim }}
{{- end }}
{{- end -}}

{{- define "packshot.volumeMounts" -}}
- name: config
  mountPath: /etc/packshot
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .root.Values.caBundle.existingSecret }}
- name: ca
  mountPath: /etc/packshot-ca
  readOnly: true
{{- end }}
{{- if eq .root.Values.objectStore.type "volume" }}
- name: objects
  mountPath: /var/lib/packshot
  {{- with .root.Values.objectStore.volume.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where pods go, of (dict "root" . "of" scheduler-or-pool "selector" text "hosts" bool). */}}
{{- define "packshot.placement" -}}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .of.topologySpreadConstraints }}
  {{- toYaml .of.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- .selector | nindent 8 }}
  {{- if .hosts }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- .selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
