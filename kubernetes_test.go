package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"vicreg/models/ort/orttest"
	"vicreg/server"
)

const (
	manifest   = "scripts/deploy/kubernetes.yaml"
	kubernetes = "1.37.0" // version of the schemas for validation
)

// TestManifestSchema validates the manifest strictly: unknown fields are errors. A second, misspelt
// manifest proves that.
func TestManifestSchema(t *testing.T) {
	python := os.Getenv(orttest.EnvPython)
	if python == "" {
		t.Skipf("%s is not set: it names a Python with the package kubernetes-validate (scripts/test.sh sets it)", orttest.EnvPython)
	}
	validate := func(file string) (string, error) {
		out, err := exec.Command(python, "-m", "kubernetes_validate", "--strict", "-k", kubernetes, file).CombinedOutput()
		return string(out), err
	}
	out, err := validate(manifest)
	if err != nil || strings.Count(out, "passed for resource") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := strings.Replace(readFile(t, os.DirFS("."), manifest), "readOnlyRootFilesystem:", "readOnlyRootFileSystem:", 1)
	file := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := validate(file); err == nil || !strings.Contains(out, "'readOnlyRootFileSystem' was unexpected") {
		t.Errorf("misspelled: %v\n%s", err, out)
	}
}

// TestManifest checks what a schema cannot express.
func TestManifest(t *testing.T) {
	for _, fault := range manifestFaults(t, readFile(t, os.DirFS("."), manifest)) {
		t.Error(fault)
	}
}

// Each rule is violated once, to show that the checks can fail.
func TestManifestFaults(t *testing.T) {
	good := readFile(t, os.DirFS("."), manifest)
	for _, c := range []struct{ old, new, want string }{
		{"startupProbe:\n            httpGet:\n              path: /livez", "startupProbe:\n            httpGet:\n              path: /readyz", "startupProbe asks /readyz: want /livez"},
		{"livenessProbe:\n            httpGet:\n              path: /livez", "livenessProbe:\n            httpGet:\n              path: /readyz", "livenessProbe asks /readyz: want /livez"},
		{"path: /readyz\n              port: http", "path: /livez\n              port: http", "readinessProbe asks /livez: want /readyz"},
		{"path: /livez\n              port: http", "path: /livez\n              port: 8081", "startupProbe asks port 8081, which is none of the container"},
		{`":8080"]`, `":80"]`, "the server listens on port 80, which is none of the container"},
		{`prometheus.io/port: "8080"`, `prometheus.io/port: "80"`, "Prometheus asks port 80, which is none of the container"},
		{"terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 35", "35s to end, and preStop and --drain take 35s"},
		{"seconds: 5 #", "seconds: 15 #", "45s to end, and preStop and --drain take 45s"},
		{"targetPort: http", "targetPort: web", "the service sends to port web, which is none of the container"},
		{"  selector:\n    app.kubernetes.io/name: vicreg", "  selector:\n    app.kubernetes.io/name: other", "the service selects other pods"},
		{"matchLabels:\n      app.kubernetes.io/name: vicreg", "matchLabels:\n      app.kubernetes.io/name: other", "the deployment selects other pods"},
		{"mountPath: /models\n              readOnly: true", "mountPath: /models", "/models/backbone.onnx is not of a read-only mount"},
		{"mountPath: /models", "mountPath: /model", "/models/backbone.onnx is not of a read-only mount"},
		{"image: vicreg:1.0.0", "image: vicreg:latest", "the image is vicreg:latest: want a tag that says which"},
		{"image: vicreg:1.0.0", "image: registry.example:5000/vicreg", "the image is registry.example:5000/vicreg: want a tag that says which"},
		{"runAsUser: 65532", "runAsUser: 1000", "the pod runs as 1000, and the image as 65532:65532"},
	} {
		if !strings.Contains(good, c.old) {
			t.Errorf("the manifest has no %q", c.old)
		}
		if got := manifestFaults(t, strings.Replace(good, c.old, c.new, 1)); !slices.Equal(got, []string{c.want}) {
			t.Errorf("with %s: got %q, want %q", c.new, got, c.want)
		}
	}
}

// object holds the fields of a Deployment or Service that the tests need.
type object struct {
	Kind string
	Spec struct {
		Selector map[string]any
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     pod
		}
	}
}

type pod struct {
	Grace           int `yaml:"terminationGracePeriodSeconds"`
	SecurityContext struct {
		RunAsUser int `yaml:"runAsUser"`
	} `yaml:"securityContext"`
	Containers []container
}

type container struct {
	Image string
	Args  []string
	Ports []struct {
		Name          string
		ContainerPort string `yaml:"containerPort"`
	}
	Startup   *probe `yaml:"startupProbe"`
	Readiness *probe `yaml:"readinessProbe"`
	Liveness  *probe `yaml:"livenessProbe"`
	Lifecycle struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	VolumeMounts []struct {
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// port resolves a port given by name or number to its number, "" if the container does not have it.
func (c container) port(nameOrNumber string) string {
	for _, p := range c.Ports {
		if nameOrNumber == p.Name || nameOrNumber == p.ContainerPort {
			return p.ContainerPort
		}
	}
	return ""
}

// arg returns the value of a flag of the container's command.
func (c container) arg(flag string) string {
	if i := slices.Index(c.Args, flag); i >= 0 && i+1 < len(c.Args) {
		return c.Args[i+1]
	}
	return ""
}

// manifestFaults lists where the parts of a manifest do not match each other, the server or its
// image.
func manifestFaults(t *testing.T, text string) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	deployment, service := objects(t, text)
	pod := deployment.Spec.Template.Spec
	c := pod.Containers[0]
	faults = append(probeFaults(c), portFaults(deployment, service)...)

	end := server.Defaults(1).Drain + time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second
	if grace := time.Duration(pod.Grace) * time.Second; grace <= end {
		fault("%v to end, and preStop and --drain take %v", grace, end)
	}
	if _, tag, _ := strings.Cut(path.Base(c.Image), ":"); tag == "" || tag == "latest" {
		fault("the image is %s: want a tag that says which", c.Image)
	}
	readOnly := false
	for _, m := range c.VolumeMounts {
		readOnly = readOnly || m.ReadOnly && m.MountPath == path.Dir(c.arg("--model"))
	}
	if !readOnly {
		fault("%s is not of a read-only mount", c.arg("--model"))
	}
	image := "" // USER of the last stage; the other final ones have the same
	for _, i := range instructions(readFile(t, os.DirFS("."), "Dockerfile")) {
		if i.name == "USER" {
			image = i.rest
		}
	}
	if user := pod.SecurityContext.RunAsUser; image != fmt.Sprintf("%d:%[1]d", user) {
		fault("the pod runs as %d, and the image as %s", user, image)
	}
	return faults
}

// probeFaults checks that each probe uses the right path, on the port that the server listens on. A
// startup probe that waited for /readyz would kill a pod that loads for long, again and again.
func probeFaults(c container) (faults []string) {
	for _, p := range []struct {
		name, path string
		probe      *probe
	}{{"startupProbe", "/livez", c.Startup}, {"readinessProbe", "/readyz", c.Readiness}, {"livenessProbe", "/livez", c.Liveness}} {
		switch {
		case p.probe == nil:
			faults = append(faults, "there is no "+p.name)
		case p.probe.HTTPGet.Path != p.path:
			faults = append(faults, fmt.Sprintf("%s asks %s: want %s", p.name, p.probe.HTTPGet.Path, p.path))
		case c.port(p.probe.HTTPGet.Port) == "":
			faults = append(faults, fmt.Sprintf("%s asks port %s, which is none of the container", p.name, p.probe.HTTPGet.Port))
		}
	}
	return faults
}

// portFaults checks that everything that connects to the pods finds them and their port.
func portFaults(deployment, service object) (faults []string) {
	template := deployment.Spec.Template
	c := template.Spec.Containers[0]
	_, listens, _ := net.SplitHostPort(c.arg("--addr"))
	if c.port(listens) == "" {
		faults = append(faults, "the server listens on port "+listens+", which is none of the container")
	}
	if scraped := template.Metadata.Annotations["prometheus.io/port"]; c.port(scraped) == "" {
		faults = append(faults, "Prometheus asks port "+scraped+", which is none of the container")
	}
	for _, p := range service.Spec.Ports {
		if c.port(p.TargetPort) == "" {
			faults = append(faults, "the service sends to port "+p.TargetPort+", which is none of the container")
		}
	}
	labels := fmt.Sprint(template.Metadata.Labels)
	if fmt.Sprint(service.Spec.Selector) != labels {
		faults = append(faults, "the service selects other pods")
	}
	if fmt.Sprint(deployment.Spec.Selector["matchLabels"]) != labels {
		faults = append(faults, "the deployment selects other pods")
	}
	return faults
}

// objects returns the one Deployment and the one Service of a manifest.
func objects(t *testing.T, text string) (deployment, service object) {
	t.Helper()
	var kinds []string
	for decoder := yaml.NewDecoder(bytes.NewReader([]byte(text))); ; {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, o.Kind)
		if o.Kind == "Deployment" {
			deployment = o
		} else {
			service = o
		}
	}
	if !slices.Equal(kinds, []string{"Deployment", "Service"}) {
		t.Fatalf("the manifest has %v", kinds)
	}
	return deployment, service
}
