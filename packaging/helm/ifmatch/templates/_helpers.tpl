{{- define "ifmatch.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "ifmatch.selector" -}}
app.kubernetes.io/name: ifmatch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: proxy
{{- end -}}

{{- define "ifmatch.labels" -}}
{{ include "ifmatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "ifmatch.redis.selector" -}}
app.kubernetes.io/name: ifmatch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end -}}

{{/* The register's URL, after what cannot work together has been refused. */}}
{{- define "ifmatch.register" -}}
{{- $url := .Values.register.url -}}
{{- if .Values.redisForTrial.enabled -}}
{{- if $url }}{{ fail "register.url and redisForTrial.enabled are both set: keep one" }}{{ end -}}
{{- $url = printf "redis://%s-redis:6379" (include "ifmatch.name" .) -}}
{{- end -}}
{{- if not $url }}{{ fail "register.url is missing: name your Redis, or set redisForTrial.enabled=true" }}{{ end -}}
{{- if and (hasPrefix "memory:" $url) (or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1)) -}}
{{ fail "a register in memory is for one process: set replicaCount=1, or name a Redis in register.url" }}
{{- end -}}
{{- if regexMatch "//[^/@]*:[^/@]*@" $url }}{{ fail "register.url holds a password: name its Secret in register.password" }}{{ end -}}
{{- $url -}}
{{- end -}}

{{/* The Secrets whose content the processes read, as their state in the cluster: a new state starts new
processes with the next `helm upgrade`. `helm template` sees no cluster. */}}
{{- define "ifmatch.secretStates" -}}
{{- $names := list .Values.register.password.existingSecret .Values.admin.token.existingSecret -}}
{{- range .Values.secrets }}{{ $names = append $names .existingSecret }}{{ end -}}
{{- range (compact $names | uniq | sortAlpha) -}}
{{- $found := lookup "v1" "Secret" $.Release.Namespace . -}}
{{ . }}={{ dig "metadata" "resourceVersion" "" $found }};
{{- end -}}
{{- end -}}
