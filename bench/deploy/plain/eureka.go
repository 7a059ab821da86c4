package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// The defaults of Eureka's own client.
const (
	renewEvery = 30 * time.Second
	fetchEvery = 30 * time.Second
	leaseTime  = 90 // seconds
	maxReply   = 1 << 20
	retryEvery = 5 * time.Second // registration, while the server does not answer
)

// eureka is a client by the REST operations of Eureka: it registers, renews its lease, and reads the
// list of all applications.
type eureka struct {
	url, app, id, host, port string
	client                   http.Client
	list                     atomic.Pointer[map[string][]string]
}

// newEureka makes the client of a service; url ends with the path, http://HOST:8761/eureka.
func newEureka(url, service, port string) (*eureka, error) {
	conn, err := net.Dial("udp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/eureka"))
	if err != nil {
		return nil, err
	}
	defer conn.Close() // it has told the own address, and sent nothing
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	own, _, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	return &eureka{url: url, app: strings.ToUpper(service), id: host + ":" + service + ":" + port, host: own,
		port: port, client: http.Client{Timeout: 5 * time.Second}}, nil
}

// run registers, and then renews and reads in the intervals of Eureka's client, until the context ends.
func (e *eureka) run(ctx context.Context) {
	for e.register() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryEvery):
		}
	}
	e.note(e.fetch())
	renew, fetch := time.NewTicker(renewEvery), time.NewTicker(fetchEvery)
	defer renew.Stop()
	defer fetch.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			if err := e.send(http.MethodPut, "/apps/"+e.app+"/"+e.id, nil, nil); err != nil {
				e.note(e.register())
			}
		case <-fetch.C:
			e.note(e.fetch())
		}
	}
}

func (e *eureka) note(err error) {
	if err != nil {
		log.Print(err)
	}
}

func (e *eureka) register() error {
	type object = map[string]any
	return e.send(http.MethodPost, "/apps/"+e.app, object{"instance": object{
		"instanceId": e.id, "app": e.app, "hostName": e.host, "ipAddr": e.host, "vipAddress": e.app, "status": "UP",
		"port":           object{"$": e.port, "@enabled": "true"},
		"dataCenterInfo": object{"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
		"leaseInfo":      object{"renewalIntervalInSecs": renewEvery.Seconds(), "durationInSecs": leaseTime},
	}}, nil)
}

func (e *eureka) leave() { e.note(e.send(http.MethodDelete, "/apps/"+e.app+"/"+e.id, nil, nil)) }

// fetch reads the list of all that are up.
func (e *eureka) fetch() error {
	var reply struct {
		Applications struct {
			Application []struct {
				Name     string
				Instance []struct {
					IPAddr string `json:"ipAddr"`
					Status string
					Port   struct {
						Number int `json:"$"`
					}
				}
			}
		}
	}
	if err := e.send(http.MethodGet, "/apps", nil, &reply); err != nil {
		return err
	}
	list := map[string][]string{}
	for _, app := range reply.Applications.Application {
		name := strings.ToLower(app.Name)
		for _, i := range app.Instance {
			if i.Status == "UP" {
				list[name] = append(list[name], net.JoinHostPort(i.IPAddr, fmt.Sprint(i.Port.Number)))
			}
		}
	}
	e.list.Store(&list)
	return nil
}

func (e *eureka) find(service string) ([]string, error) {
	list := e.list.Load()
	if list == nil {
		return nil, fmt.Errorf("the list of %s was not read yet", e.url)
	}
	return (*list)[service], nil
}

func (e *eureka) send(method, path string, body, reply any) error {
	var text []byte
	var err error
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, e.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	if err != nil || reply == nil {
		return err
	}
	return json.Unmarshal(text, reply)
}
