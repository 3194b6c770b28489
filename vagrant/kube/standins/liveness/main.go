// liveness stands in for livenessprobe, whose module no proxy has: in the lab only. GET /healthz asks the driver whether it is ready (Probe):
// 200 if it says so, 500 with the reason if not.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	driver := flag.String("csi-address", "/csi/csi.sock", "the driver's socket")
	endpoint := flag.String("http-endpoint", "", "address and port of the answers")
	patience := flag.Duration("probe-timeout", time.Second, "of one question to the driver")
	flag.Parse()

	conn, err := grpc.NewClient("unix:"+*driver, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	identity := csi.NewIdentityClient(conn)
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), *patience)
		defer cancel()
		probe, err := identity.Probe(ctx, &csi.ProbeRequest{})
		switch {
		case err != nil:
			http.Error(answer, err.Error(), http.StatusInternalServerError)
		case probe.GetReady() != nil && !probe.GetReady().GetValue():
			http.Error(answer, "the driver is not ready", http.StatusInternalServerError)
		default:
			answer.Write([]byte("ok"))
		}
	})
	log.Fatal(http.ListenAndServe(*endpoint, nil))
}
