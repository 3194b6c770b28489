{{/* The name of the driver: a constant of mdfabric-csi, so not a value. */}}
{{- define "mdfabric.driver" -}}
csi.mdfabric.io
{{- end }}

{{- define "mdfabric.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What names of objects begin with: at most 40 characters, so that every name stays a label. */}}
{{- define "mdfabric.fullname" -}}
{{- $name := include "mdfabric.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What a part's pods are found by; (list $ PART) */}}
{{- define "mdfabric.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "mdfabric.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* (list $ PART) */}}
{{- define "mdfabric.labels" -}}
{{- $ := index . 0 -}}
{{ include "mdfabric.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The service account of a part; (list $ PART) */}}
{{- define "mdfabric.serviceAccount" -}}
{{- $ := index . 0 -}}
{{- $account := index $.Values.serviceAccounts (index . 1) -}}
{{- if $account.name }}
{{- $account.name }}
{{- else if $account.create }}
{{- printf "%s-%s" (include "mdfabric.fullname" $) (index . 1) }}
{{- else }}
{{- fail (printf "serviceAccounts.%s.name: which one is to be used, where none is created" (index . 1)) }}
{{- end }}
{{- end }}

{{/* An image by digest, or else by tag; (list IMAGE DEFAULT-TAG) */}}
{{- define "mdfabric.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end }}

{{/* image and imagePullPolicy of a sidecar; (list $ NAME) */}}
{{- define "mdfabric.sidecarImage" -}}
{{- $image := (index (index . 0).Values.sidecars (index . 1)).image -}}
image: {{ include "mdfabric.image" (list $image "") }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- define "mdfabric.ownImage" -}}
image: {{ include "mdfabric.image" (list .Values.image .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}
