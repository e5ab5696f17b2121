// config-go DIR judges every file there as kube-apiserver judges its EncryptionConfiguration, twice:
// with its gate KMSv1 on and off. A JSON object a file: name, on, off, and either why it is refused
// with the gate, or lists: for some resources, what the values of each provider and key begin with, in
// the order in which the server tries them, identity as "". A resource that is stored plain is absent.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	kms "k8s.io/kms/pkg/service"
	"k8s.io/kms/pkg/util"
)

var resources = []string{"secrets", "configmaps", "pods", "deployments.apps", "statefulsets.apps", "widgets.example.com", "*.apps", ""}

func main() {
	flags := flag.NewFlagSet("", flag.PanicOnError)
	klog.InitFlags(flags)
	flags.Set("logtostderr", "false")
	flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	// The real one calls the plugin's Status and waits for it.
	encryptionconfig.EnvelopeKMSv2ServiceFactory = func(_ context.Context, endpoint, _ string, _ time.Duration) (kms.Service, error) {
		_, err := util.ParseEndpoint(endpoint)
		return absent{}, err
	}
	files, err := os.ReadDir(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, file := range files {
		path := filepath.Join(os.Args[1], file.Name())
		_, off := judge(path, false)
		lists, err := judge(path, true)
		verdict := verdict{Name: file.Name(), On: err == nil, Off: off == nil, Lists: lists}
		if err != nil {
			verdict.Why = err.Error()
		}
		if err := out.Encode(verdict); err != nil {
			log.Fatal(err)
		}
	}
}

type verdict struct {
	Name  string              `json:"name"`
	On    bool                `json:"on"`
	Off   bool                `json:"off"`
	Lists map[string][]string `json:"lists,omitempty"`
	Why   string              `json:"why,omitempty"`
}

func judge(path string, gate bool) (map[string][]string, error) {
	if err := utilfeature.DefaultMutableFeatureGate.Set(fmt.Sprintf("KMSv1=%v", gate)); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config, err := encryptionconfig.LoadEncryptionConfig(ctx, path, false, "judge")
	if err != nil {
		return nil, err
	}
	lists := map[string][]string{}
	for _, resource := range resources {
		group := schema.ParseGroupResource(resource)
		transformer := encryptionconfig.StaticTransformers(config.Transformers).TransformerForResource(group)
		// requestInfoTransformer{delegate}, which for one that is in no list only checks what it reads.
		delegate := reflect.ValueOf(transformer).Elem().FieldByName("delegate").Elem()
		if delegate.Kind() == reflect.Pointer {
			lists[resource] = prefixes(delegate, "")
		}
	}
	return lists, nil
}

// Of prefixTransformers{transformers []PrefixTransformer}, in their order; those of keys lie in those of providers.
func prefixes(of reflect.Value, before string) (all []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Interface {
		of = of.Elem()
	}
	list := of
	if of.Kind() == reflect.Struct {
		list = of.FieldByName("transformers")
	}
	for i := range list.Len() {
		prefix := before + string(list.Index(i).FieldByName("Prefix").Bytes())
		switch {
		case prefix == "":
			all = append(all, "")
		case strings.HasPrefix(prefix, "k8s:enc:kms:") || before != "":
			all = append(all, prefix)
		default:
			all = append(all, prefixes(list.Index(i).FieldByName("Transformer"), prefix)...)
		}
	}
	return all
}

type absent struct{}

func (absent) Status(context.Context) (*kms.StatusResponse, error) { return nil, errors.New("absent") }
func (absent) Encrypt(context.Context, string, []byte) (*kms.EncryptResponse, error) {
	return nil, errors.New("absent")
}
func (absent) Decrypt(context.Context, string, *kms.DecryptRequest) ([]byte, error) {
	return nil, errors.New("absent")
}
