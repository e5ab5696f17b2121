package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net"

	"google.golang.org/grpc"

	v1 "k8s.io/kms/apis/v1beta1"
	kmsv2 "k8s.io/kms/pkg/service"
)

// A KMS whose KEK is in config.go: it wraps with AES-GCM, the key id in the AAD.
type remote struct{ name string }

var annotations = map[string][]byte{"b.example.com": {0, 255}, "a.example.com.": nil}

func (r remote) wrap(key []byte, aad string) ([]byte, error) {
	nonce := make([]byte, 12)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return gcm(secret("kms", r.name, 32)).Seal(nonce, nonce, key, []byte(aad)), nil
}

func (r remote) unwrap(wrapped []byte, aad string) ([]byte, error) {
	if len(wrapped) < 12 {
		return nil, errors.New("not wrapped by this KMS")
	}
	return gcm(secret("kms", r.name, 32)).Open(nil, wrapped[:12], wrapped[12:], []byte(aad))
}

func (r remote) keyID() string { return "kek/" + r.name }

func (r remote) Status(context.Context) (*kmsv2.StatusResponse, error) {
	return &kmsv2.StatusResponse{Version: "v2", Healthz: "ok", KeyID: r.keyID()}, nil
}

func (r remote) Encrypt(_ context.Context, _ string, key []byte) (*kmsv2.EncryptResponse, error) {
	wrapped, err := r.wrap(key, r.keyID())
	return &kmsv2.EncryptResponse{Ciphertext: wrapped, KeyID: r.keyID(), Annotations: annotations}, err
}

func (r remote) Decrypt(_ context.Context, _ string, request *kmsv2.DecryptRequest) ([]byte, error) {
	return r.unwrap(request.Ciphertext, request.KeyID)
}

// The same for v1, without a network.
type remoteV1 struct{ remote }

func (r remoteV1) Encrypt(key []byte) ([]byte, error)     { return r.wrap(key, "") }
func (r remoteV1) Decrypt(wrapped []byte) ([]byte, error) { return r.unwrap(wrapped, "") }

// The plugin that the configuration's v1 providers dial.
type pluginV1 struct {
	v1.UnsafeKeyManagementServiceServer
	remote
}

func serveV1(name, socket string) {
	listener, err := net.Listen("unix", socket)
	check(err)
	server := grpc.NewServer()
	v1.RegisterKeyManagementServiceServer(server, pluginV1{remote: remote{name}})
	go server.Serve(listener)
}

func (p pluginV1) Version(context.Context, *v1.VersionRequest) (*v1.VersionResponse, error) {
	return &v1.VersionResponse{Version: "v1beta1", RuntimeName: "test", RuntimeVersion: "1"}, nil
}

func (p pluginV1) Encrypt(_ context.Context, request *v1.EncryptRequest) (*v1.EncryptResponse, error) {
	wrapped, err := p.wrap(request.Plain, "")
	return &v1.EncryptResponse{Cipher: wrapped}, err
}

func (p pluginV1) Decrypt(_ context.Context, request *v1.DecryptRequest) (*v1.DecryptResponse, error) {
	plain, err := p.unwrap(request.Cipher, "")
	return &v1.DecryptResponse{Plain: plain}, err
}
