{{/* Root because the sockets are root's, and nothing else of root. */}}
{{- define "mdfabric.unprivileged" -}}
securityContext:
  runAsUser: 0
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What all pods have in common; (list $ PART) */}}
{{- define "mdfabric.pod" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ include "mdfabric.serviceAccount" . }}
# Only what asks the API server has a token: it mounts the volume below.
automountServiceAccountToken: false
# A Service called mdfabric-... would be told as MDFABRIC_..., and the daemon refuses settings that it does not know.
enableServiceLinks: false
# No name is looked up: the API server is known by its address.
dnsPolicy: Default
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.seLinuxOptions }}
securityContext:
  seLinuxOptions:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- define "mdfabric.podLabels" -}}
{{ include "mdfabric.labels" . }}
{{- with (index . 0).Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volume that a token is in, as the kubelet makes it where it is automounted. */}}
{{- define "mdfabric.tokenVolume" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}

{{- define "mdfabric.tokenMount" -}}
- {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{/* Where the API server is, unless as for every pod. */}}
{{- define "mdfabric.apiServerEnv" -}}
{{- with .Values.apiServer.host }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ . | quote }}}
{{- end }}
{{- with .Values.apiServer.port }}
- {name: KUBERNETES_SERVICE_PORT, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* mdfabric-csi, between the daemon's socket and /csi/csi.sock. */}}
{{- define "mdfabric.csi" -}}
- name: mdfabric-csi
  {{- include "mdfabric.ownImage" . | nindent 2 }}
  command: [/usr/bin/mdfabric-csi]
  args:
    - --endpoint=unix:///csi/csi.sock
    - --socket=/run/mdfabric/mdfabric.sock
    - {{ printf "--log-filter=%s" .Values.log.filter | quote }}
  {{- include "mdfabric.unprivileged" . | nindent 2 }}
  volumeMounts:
    - {name: csi, mountPath: /csi}
    - {name: run, mountPath: /run/mdfabric, readOnly: true}
  {{- with .Values.csi.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* One of the sidecars; (list $ NAME ARGS). It sees the CSI socket and nothing of the host. */}}
{{- define "mdfabric.sidecar" -}}
{{- $ := index . 0 -}}
{{- $sidecar := index $.Values.sidecars (index . 1) -}}
{{- include "mdfabric.sidecarImage" . }}
args:
  {{- range concat (index . 2) $sidecar.args }}
  - {{ . | quote }}
  {{- end }}
{{ include "mdfabric.unprivileged" $ }}
{{- with $sidecar.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
