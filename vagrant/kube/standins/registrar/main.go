// registrar stands in for node-driver-registrar, whose module no proxy has: in the lab only. It asks the driver for its name and tells the
// kubelet of it (pluginregistration/v1). Where the driver goes away it ends, as the original does, and registers anew once it is started again.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// What the kubelet asks for.
type server struct {
	registration.UnimplementedRegistrationServer
	driver, endpoint string
}

func (s *server) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: s.driver, Endpoint: s.endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus ends the program when the kubelet refuses: it is started again, and asks again.
func (s *server) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		log.Fatalf("the kubelet refuses %s: %s", s.driver, status.Error)
	}
	log.Printf("%s is registered", s.driver)
	return &registration.RegistrationStatusResponse{}, nil
}

// driverName waits until the driver answers.
func driverName(conn *grpc.ClientConn, patience time.Duration) string {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		info, err := csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			return info.GetName()
		}
		log.Printf("GetPluginInfo: %v", err)
	}
}

// endWithDriver ends the program once the connection is not what it was.
func endWithDriver(conn *grpc.ClientConn) {
	conn.WaitForStateChange(context.Background(), connectivity.Ready)
	log.Fatal("the driver went away")
}

func main() {
	driver := flag.String("csi-address", "/csi/csi.sock", "the driver's socket, as seen here")
	endpoint := flag.String("kubelet-registration-path", "", "the driver's socket, as seen by the kubelet")
	directory := flag.String("plugin-registration-path", "/registration", "the directory that the kubelet looks at")
	patience := flag.Duration("timeout", 10*time.Second, "of one call to the driver")
	flag.Parse()

	conn, err := grpc.NewClient("unix:"+*driver, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithIdleTimeout(0))
	if err != nil {
		log.Fatal(err)
	}
	name := driverName(conn, *patience)
	socket := filepath.Join(*directory, name+"-reg.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	go endWithDriver(conn)
	kubelet := grpc.NewServer()
	registration.RegisterRegistrationServer(kubelet, &server{driver: name, endpoint: *endpoint})
	log.Fatal(kubelet.Serve(listener))
}
