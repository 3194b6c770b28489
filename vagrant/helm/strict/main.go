// Command strict reads Kubernetes objects as YAML and prints them as one list in JSON.
//
// An object of a kind that Kubernetes itself has is read into the type that Kubernetes has for it: a field that is not
// known, one that is there twice and one of the wrong type are errors. All errors are told, not only the first one.
//
// With the argument "plain" it reads one document that is no object, a file of values, and prints it as JSON.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// object is one document: what it says, and whether Kubernetes has a type for it.
type object struct {
	Typed  bool           `json:"typed"`
	Object map[string]any `json:"object"`
}

func main() {
	answer := typed
	if len(os.Args) > 1 && os.Args[1] == "plain" {
		answer = plain
	}
	if err := answer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func plain() error {
	document, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

func typed() error {
	if err := apiextensions.AddToScheme(scheme.Scheme); err != nil {
		return err
	}
	objects, err := read(utilyaml.NewYAMLReader(bufio.NewReader(os.Stdin)))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(objects)
}

func read(documents *utilyaml.YAMLReader) ([]object, error) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	objects, problems := []object{}, []error{}
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, errors.Join(problems...)
		}
		if err != nil {
			return nil, err
		}
		one, err := parse(decoder, document)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name(one.Object), err))
		}
		if one.Object != nil {
			objects = append(objects, one)
		}
	}
}

// parse reads one document. One that says nothing is no object and no error.
func parse(decoder runtime.Decoder, document []byte) (object, error) {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return object{}, err
	}
	var one object
	if err := json.Unmarshal(text, &one.Object); err != nil || one.Object == nil {
		return object{}, err
	}
	_, _, err = decoder.Decode(document, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		return one, nil
	}
	one.Typed = true
	return one, err
}

func name(object map[string]any) string {
	said := unstructured.Unstructured{Object: object}
	return fmt.Sprintf("%s %s", said.GetKind(), said.GetName())
}
