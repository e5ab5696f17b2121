// A KMS plugin that has nothing of libkms: both services of k8s.io/kms on gRPC for Go, over a key in
// memory or in a file.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"flag"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"k8s.io/kms/apis/v1beta1"
	"k8s.io/kms/pkg/service"
)

const annotation = "nonce.kms.example.com"

type plugin struct {
	gcm   cipher.AEAD
	keyID string
}

func (p *plugin) Status(context.Context) (*service.StatusResponse, error) {
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: p.keyID}, nil
}

// The nonce is an annotation: without them nothing opens.
func (p *plugin) Encrypt(_ context.Context, _ string, plaintext []byte) (*service.EncryptResponse, error) {
	nonce := make([]byte, p.gcm.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return &service.EncryptResponse{
		Ciphertext:  p.gcm.Seal(nil, nonce, plaintext, []byte(p.keyID)),
		KeyID:       p.keyID,
		Annotations: map[string][]byte{annotation: nonce},
	}, nil
}

func (p *plugin) Decrypt(_ context.Context, _ string, req *service.DecryptRequest) ([]byte, error) {
	nonce := req.Annotations[annotation]
	if len(nonce) != p.gcm.NonceSize() {
		return nil, errors.New("no nonce")
	}
	return p.gcm.Open(nil, nonce, req.Ciphertext, []byte(req.KeyID))
}

type old struct {
	v1beta1.UnimplementedKeyManagementServiceServer
	gcm cipher.AEAD
}

func (o *old) Version(context.Context, *v1beta1.VersionRequest) (*v1beta1.VersionResponse, error) {
	return &v1beta1.VersionResponse{Version: "v1beta1", RuntimeName: "go-plugin", RuntimeVersion: "1"}, nil
}

func (o *old) Encrypt(_ context.Context, req *v1beta1.EncryptRequest) (*v1beta1.EncryptResponse, error) {
	nonce := make([]byte, o.gcm.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return &v1beta1.EncryptResponse{Cipher: o.gcm.Seal(nonce, nonce, req.Plain, nil)}, nil
}

func (o *old) Decrypt(_ context.Context, req *v1beta1.DecryptRequest) (*v1beta1.DecryptResponse, error) {
	n := o.gcm.NonceSize()
	if len(req.Cipher) < n {
		return nil, errors.New("too short")
	}
	plain, err := o.gcm.Open(nil, req.Cipher[:n], req.Cipher[n:], nil)
	return &v1beta1.DecryptResponse{Plain: plain}, err
}

func main() {
	socket := flag.String("socket", "", "where to listen, @NAME for a socket without a file")
	keyID := flag.String("key-id", "go/1", "what the key is called")
	keyFile := flag.String("key-file", "", "a key of 32 bytes; a fresh one unless given")
	isOld := flag.Bool("v1", false, "the service of version 1")
	flag.Parse()
	key := make([]byte, 32)
	if *keyFile != "" {
		var err error
		if key, err = os.ReadFile(*keyFile); err != nil {
			log.Fatal(err)
		}
	} else if _, err := rand.Read(key); err != nil {
		log.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		log.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	if !*isOld {
		log.Fatal(service.NewGRPCService(*socket, 30*time.Second, &plugin{gcm, *keyID}).ListenAndServe())
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	v1beta1.RegisterKeyManagementServiceServer(server, &old{gcm: gcm})
	log.Fatal(server.Serve(listener))
}
